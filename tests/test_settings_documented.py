"""`.env.example` and `musicfp/settings.py` name the same settings, with the same defaults."""

import dataclasses
import re
from pathlib import Path

import pytest

from musicfp.settings import Settings

ROOT = Path(__file__).parents[1]
NAME = re.compile(r"MUSICFP_[A-Z0-9_]+")
ASSIGNMENT = re.compile(r"^# (MUSICFP_[A-Z0-9_]+)=(.*)$", re.MULTILINE)
# A paragraph of the file: the sentence about a setting, maybe with more lines, then the line to uncomment.
ENTRY = re.compile(r"^# (MUSICFP_[A-Z0-9_]+): (.+(?:\n#.*)*?)\n# \1=(.*)$", re.MULTILINE)

EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
SOURCE = (ROOT / "musicfp" / "settings.py").read_text(encoding="utf-8")
IN_SETTINGS = set(re.findall(r'"(MUSICFP_[A-Z0-9_]+)"', SOURCE))

pytestmark = pytest.mark.sync


def test_each_setting_stands_in_the_example_file() -> None:
    """A setting that is read is documented, and a documented one is read."""
    assert {name for name, _ in ASSIGNMENT.findall(EXAMPLE)} == IN_SETTINGS


def test_each_setting_stands_once() -> None:
    """Nobody edits the first of two lines and wonders why nothing changes."""
    names = [name for name, _ in ASSIGNMENT.findall(EXAMPLE)]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", sorted(IN_SETTINGS))
def test_each_setting_has_a_meaning_and_a_default(name: str) -> None:
    """A setting has a sentence above it, and its default on its line or, if it has no fixed one, in that sentence."""
    entries = {entry: (text, default) for entry, text, default in ENTRY.findall(EXAMPLE)}
    assert name in entries, f"{name} has no '# {name}: meaning' above '# {name}=' in .env.example"
    meaning, default = entries[name]
    assert default or "Default: " in meaning
    unit = {"_S": "seconds", "_BYTES": "bytes", "_DAYS": "days", "_PORT": "port", "_URL": "URL", "_TRACKS": "number of"}
    for suffix, word in unit.items():
        if name.endswith(suffix):
            assert word in meaning


def test_the_defaults_in_the_example_file_are_the_ones_in_force() -> None:
    """Uncommenting every line that has a value changes nothing."""
    uncommented = {name: value for name, value in ASSIGNMENT.findall(EXAMPLE) if value}
    assert dataclasses.asdict(Settings.from_env(uncommented)) == dataclasses.asdict(Settings.from_env({}))


def test_the_example_file_names_nothing_else() -> None:
    """A name mentioned in a sentence exists too."""
    assert set(NAME.findall(EXAMPLE)) <= IN_SETTINGS
