"""Tags as musicians know them: one set of names for all formats, cleaned, bounded, without pictures.

What belongs here: the normal names, cleaning, `TrackTags` and the completeness rule; the names that each tag format
uses are in tag_names. What does not: anything that judges the audio.

Call `read_tags` in a worker process within `own_limits.limited_step`: mutagen is given bytes that nobody checked, and
what it does with them can take hours and any memory.
"""

import logging
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import mutagen

from musicfp.audio.sniff import AudioFormat
from musicfp.audio.tag_names import NORMAL_NAMES, NORMAL_NAMES_OF_FFPROBE, RawTags, reader_for
from musicfp.errors import Problem
from musicfp.text import clean_line

LOGGER = logging.getLogger(__name__)

MAX_VALUE_CHARS = 1000
MAX_VALUES_PER_NAME = 32
VALUE_SEPARATOR = "; "
# What mutagen was seen to raise on damaged tags, besides its own errors.
_DAMAGED_TAG_ERRORS = (
    mutagen.MutagenError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    EOFError,
    AssertionError,
    RecursionError,
    struct.error,
)


@dataclass(frozen=True)
class TrackTags:
    """The tags of one track under normal names; a name with several values has several pairs in `values`."""

    title: str | None
    artist: str | None
    album: str | None
    values: tuple[tuple[str, str], ...]

    def of(self, name: str) -> tuple[str, ...]:
        """Return all values under a normal name."""
        return tuple(value for found, value in self.values if found == name)

    def joined(self, name: str) -> str | None:
        """Return all values under a normal name as one text, None if there are none."""
        return VALUE_SEPARATOR.join(self.of(name)) or None


def read_tags(path: Path, *, fmt: AudioFormat, fallback: Mapping[str, str] | None = None) -> TrackTags:
    """Read, clean and normalise the tags of a file.

    Parameters
    ----------
    path : Path
        The file.
    fmt : AudioFormat
        What `sniff_format` found; it decides which tag formats are looked for.
    fallback : mapping, optional
        Tags by ffprobe's names (`AudioFacts.tags`). They fill in names that mutagen did not find: tracker modules,
        INFO chunks in WAV, annotations in AU and CAF.

    Returns
    -------
    TrackTags
        Without values when there are none or they are damaged beyond reading.
    """
    raw: list[tuple[str, str]] = []
    reader = reader_for(fmt)
    if reader is not None:
        try:
            raw = list(reader(path))
        except _DAMAGED_TAG_ERRORS as error:
            if _is_want_of_memory(error):
                raise MemoryError(f"The tags of {path.name} take more memory than they may.") from error
            LOGGER.info("mutagen could not read the tags of %s as %s: %r", path.name, fmt.name, error)
    found = {name for name, _ in _cleaned(raw)}
    known = ((NORMAL_NAMES_OF_FFPROBE.get(name), value) for name, value in (fallback or {}).items())
    raw += [(name, value) for name, value in known if name is not None and name not in found]
    return track_tags(raw)


def track_tags(raw: RawTags) -> TrackTags:
    """Build TrackTags of (normal name, value) pairs, cleaned, without repetitions, in the order of NORMAL_NAMES."""
    cleaned = _cleaned(raw)
    by_name: dict[str, list[str]] = {name: [] for name in NORMAL_NAMES}
    for name, value in cleaned:
        if len(by_name[name]) < MAX_VALUES_PER_NAME and value not in by_name[name]:
            by_name[name].append(value)
    values = tuple((name, value) for name, found in by_name.items() for value in found)
    first = {name: VALUE_SEPARATOR.join(found) or None for name, found in by_name.items()}
    return TrackTags(title=first["title"], artist=first["artist"], album=first["album"], values=values)


def missing_tag_problems(tags: TrackTags, required: tuple[str, ...]) -> tuple[Problem, ...]:
    """Return one Problem (`missing_tag`, field = name) for each required tag that has no value."""
    return tuple(
        Problem(
            "missing_tag", f"The file has no {name} tag. Add it in your tagging software and upload it again.", name
        )
        for name in required
        if not tags.of(name)
    )


def _is_want_of_memory(error: BaseException | None) -> bool:
    """Whether a library turned a MemoryError into an error of its own."""
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__ or error.__context__
    return error is not None


def _cleaned(raw: RawTags) -> Iterable[tuple[str, str]]:
    pairs = ((name, clean_line(value, max_characters=MAX_VALUE_CHARS)) for name, value in raw if name in NORMAL_NAMES)
    return [(name, value) for name, value in pairs if value]
