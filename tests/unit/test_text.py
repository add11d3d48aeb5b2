"""Cleaning text that came from outside."""

import pytest

from musicfp.text import clean_line


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\0b", "ab"),
        ("a\nb\t c\u00a0 d", "a b c d"),
        ("\x1b[31mred\x9b", "[31mred"),
        ("abc\u202edef\u2066", "abcdef"),
        ("e\u0301tude", "étude"),
        ("\ud800x", "x"),
        ("\u0646\u0627\u0645\u200c\u0647", "\u0646\u0627\u0645\u200c\u0647"),
        ("\0\u202e \n", ""),
        ("\u200b\u202e\u200d", ""),
        ("x" * 1_000_000, "x" * 100),
    ],
)
def test_text_is_cleaned(text: str, clean: str) -> None:
    assert clean_line(text, max_characters=100) == clean
