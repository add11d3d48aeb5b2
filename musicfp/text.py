"""Making text that came from outside safe to store, log and show."""

import unicodedata

# Control, format (bidi overrides among them), surrogate, private-use and unassigned characters never reach a screen.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def clean_line(text: str, *, max_characters: int) -> str:
    """Return `text` as one NFC line: no control or invisible characters, single spaces, at most `max_characters`."""
    spaced = "".join(" " if character.isspace() else character for character in text[: max_characters * 4])
    visible = "".join(
        character for character in spaced if unicodedata.category(character) not in _HIDDEN_CATEGORIES
    )
    return unicodedata.normalize("NFC", " ".join(visible.split()))[:max_characters].rstrip()
