"""Making text that came from outside safe to store, log and show."""

import unicodedata

# Marks that change the direction of the text around them; joiners stay, several scripts need them.
_DIRECTION_MARKS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Cn"})  # control characters, lone surrogates, unassigned
# Composing and collapsing white space shorten text by small factors; what lies far beyond the limit is not looked at.
_LOOK_AHEAD = 8


def clean_line(text: str, *, max_characters: int) -> str:
    """Return `text` as one NFC line without control characters and direction marks, white space collapsed.

    At most `max_characters` are kept.
    """
    one_line = " ".join(text[: _LOOK_AHEAD * max_characters].split())
    visible = "".join(character for character in one_line if _is_kept(character))
    line = " ".join(unicodedata.normalize("NFC", visible).split())[:max_characters].strip()
    # Joiners alone show nothing at all.
    return line if any(unicodedata.category(character) != "Cf" for character in line) else ""


def _is_kept(character: str) -> bool:
    return character not in _DIRECTION_MARKS and unicodedata.category(character) not in _HIDDEN_CATEGORIES
