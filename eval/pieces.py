"""Which tracks of the corpus are versions of one piece although their names do not say so.

What belongs here: what was found by comparing all pairs at all alignments (`python -m eval.dedupe`), where everything
that correlates 0.22 or more over 30 s turned out to be related, and by looking at names. What does not: names that are
the same (`music.family_of`).

A stranger whose other version is catalogued would rightly be found and be counted as a false accept.
"""

from pathlib import PurePosixPath

# By package and file name.
SAME_PIECE = (
    ("ardentryst/theme1.ogg", "ardentryst/theme1_raw.ogg"),
    (
        "colobot-common-sounds/Constructive.ogg",
        "colobot-common-sounds/Humanitarian.ogg",
        "colobot-common-sounds/Hv2.ogg",
    ),
    ("colobot-common-sounds/Infinite.ogg", "colobot-common-sounds/music008.ogg"),
    ("drascula-music/track1.ogg", "drascula-music/track30.ogg"),
    ("freedroidrpg-data/AmbientBattle.ogg", "freedroidrpg-data/TechBattle.ogg"),
    ("freedroidrpg-data/HellFortressEntrance.ogg", "freedroidrpg-data/HellFortressTwo.ogg"),
    ("glob2-data/a1.ogg", "glob2-data/a2.ogg"),
    ("megaglest-data/romans.ogg", "wesnoth-1.16-music/legends_of_the_north.ogg"),
    ("scorched3d-data/mix3_loop1.ogg", "scorched3d-data/mix3_loop2.ogg"),
    ("supertux-data/call_of_the_winding_path.ogg", "supertux-data/shallow-green.ogg"),
    ("supertux-data/cave.ogg", "supertux-data/cave_old.ogg"),
    ("supertux-data/theme.ogg", "supertux-data/christmas_theme.ogg"),
    ("tecnoballz-data/area1-game.mod", "tecnoballz-data/area1-game2.mod"),
    ("warzone2100-music/menu.opus", "warzone2100-music/menu_enhanced.opus"),
    ("warzone2100-music/track3.opus", "warzone2100-music/track3_enhanced.opus"),
    # The same drums at the same tempo, in step over minutes.
    tuple(f"warzone2100-music/track{number}.opus" for number in (4, 7, 9, 18)),
    ("warzone2100-music/track10.opus", "warzone2100-music/track15.opus"),
    ("wordwarvi-sound/lucky13-steve-mono-mix.ogg", "wordwarvi-sound/lucky-holiday-cornbread-stuffing-mono.ogg"),
)
# Instruments of one song, each in its own file, and in one folder.
_INSTRUMENTS = {"guitar.ogg", "rhythm.ogg", "song.ogg"}
_PIECES = {name: piece[0] for piece in SAME_PIECE for name in piece}


def piece_of(name: str) -> str | None:
    """Return what versions of a piece have in common; None if no others are known. Paths start with the package."""
    path = PurePosixPath(name)
    if path.name in _INSTRUMENTS:
        return str(path.parent)
    return _PIECES.get(f"{path.parts[0]}/{path.name}")
