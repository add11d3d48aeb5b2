"""From a written song to a list of notes and drum strokes.

What belongs here: the notation of `songs`, chords, voice leading, melodies, bass lines and grooves. What does not: how
anything sounds (`instruments`, `mix`).

Notation. Chords: one for each bar, `Bm7`, or two, `G/A`. Melody: bars separated by `|`, each of `step:beats` with one
beat by default and `r` for a rest; a step counts from the root of the chord, even steps are chord tones and odd steps
the notes of the scale between them, 7 is the octave. Patterns of a groove have one character for each cell of a bar:
`x` plays, `o` plays softly, `.` rests; in bass lines `1 3 5 8` are the root, third, fifth and octave of the chord.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from zlib import crc32

import numpy as np

from musicfp.demo.instruments import Instrument

_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_QUALITIES: dict[str, tuple[int, ...]] = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "m7": (0, 3, 7, 10),
    "m7b5": (0, 3, 6, 10),
    "dim": (0, 3, 6, 9),
    "sus": (0, 5, 7),
    "6": (0, 4, 7, 9),
    "add9": (0, 4, 7, 14),
}
_LOUD = {"x": 1.0, "o": 0.55}
_BASS_TONES = {"1": 0, "3": 1, "5": 2}
# Nobody plays exactly on the beat; beyond this it is heard as a mistake.
_TIMING_SPREAD_S = 0.004


@dataclass(frozen=True)
class Groove:
    """What accompanies one bar: drums by name, the rhythm of the chords and the bass line."""

    drums: dict[str, str]
    chords: str
    bass: str
    fill: str = ""


@dataclass(frozen=True)
class Section:
    """Some bars that belong together. `transpose` is in semitones; `parts` names the instruments that play."""

    chords: str
    melody: str
    groove: Groove
    parts: frozenset[str] = field(default=frozenset({"lead", "chords", "bass", "drums"}))
    transpose: int = 0
    level: float = 1.0


@dataclass(frozen=True)
class Song:
    """A whole written song with its tags. `swing` is the share of a beat that its first half takes; 0.5 is straight."""

    title: str
    artist: str
    album: str
    date: str
    genre: str
    beats_per_minute: float
    beats_per_bar: int
    scale: str
    sections: tuple[Section, ...]
    lead: Instrument
    chords: Instrument
    bass: Instrument
    swing: float = 0.5
    lead_octave: int = 5
    mix: dict[str, float] = field(default_factory=dict)
    echo_beats: float = 0.75
    wind_level: float = 0.0

    @property
    def tags(self) -> dict[str, str]:
        """Tags as they are written into a file."""
        return {
            "title": self.title,
            "artist": self.artist,
            "album": self.album,
            "date": self.date,
            "genre": self.genre,
        }


@dataclass(frozen=True)
class Event:
    """One note or drum stroke. `sound` is `lead`, `chords` or `bass` with a pitch, or the name of a drum without."""

    start_s: float
    duration_s: float
    sound: str
    pitch: int | None
    level: float


def perform(song: Song) -> list[Event]:
    """Return everything that is played, in no particular order."""
    chance = np.random.default_rng(crc32(song.title.encode()))
    events: list[Event] = []
    voicing: tuple[int, ...] = (60,)
    n_bars_before = 0
    for section in song.sections:
        chord_bars, melody_bars = section.chords.split(), section.melody.split("|")
        if len(chord_bars) != len(melody_bars):
            raise ValueError(f"{song.title}: {len(chord_bars)} bars of chords against {len(melody_bars)} of melody")
        for number, (names, motif) in enumerate(zip(chord_bars, melody_bars, strict=True)):
            bar = _Bar(song, section, n_bars_before + number, tuple(map(parse_chord, names.split("/"))))
            voicing = _nearest_voicing(bar.chords[0], voicing)
            events.extend(_melody(bar, motif))
            events.extend(_chords(bar, voicing))
            events.extend(_bass(bar))
            events.extend(_drums(bar, is_last=number == len(chord_bars) - 1))
        n_bars_before += len(chord_bars)
    return [_humanise(event, chance) for event in events if event.level > 0]


def parse_chord(name: str) -> tuple[int, ...]:
    """Return the pitch classes of a chord, root first; the ninth of an `add9` is a pitch class like the others."""
    n_root = 2 if name[1:2] in {"b", "#"} else 1
    root = _LETTERS[name[0]] + {"b": -1, "#": 1}.get(name[1:2], 0)
    return tuple((root + interval) % 12 for interval in _QUALITIES[name[n_root:]])


@dataclass(frozen=True)
class _Bar:
    """One bar of a section with its place in the song and the chords of its two halves, or one for all of it."""

    song: Song
    section: Section
    index: int
    chords: tuple[tuple[int, ...], ...]

    def seconds(self, beat: float) -> float:
        """Return when a beat of this bar comes, with swing."""
        whole, part = divmod(beat, 1.0)
        swing = self.song.swing
        swung = part * 2 * swing if part < 0.5 else swing + (part - 0.5) * 2 * (1 - swing)
        return (self.index * self.song.beats_per_bar + whole + swung) * 60.0 / self.song.beats_per_minute

    def chord_at(self, beat: float) -> tuple[int, ...]:
        return self.chords[min(int(beat * len(self.chords) / self.song.beats_per_bar), len(self.chords) - 1)]

    def event(self, beat: float, beats: float, sound: str, pitch: int | None, level: float) -> Event:
        start_s = self.seconds(beat)
        shifted = None if pitch is None else pitch + self.section.transpose
        return Event(start_s, self.seconds(beat + beats) - start_s, sound, shifted, level * self.section.level)

    def cells(self, pattern: str) -> Iterator[tuple[float, float, str]]:
        """Yield beat, beats until the next stroke, and character of everything in a pattern that is not a rest."""
        beats_per_cell = self.song.beats_per_bar / len(pattern) if pattern else 0.0
        strokes = [index for index, character in enumerate(pattern) if character != "."]
        for index, following in pairwise([*strokes, len(pattern)]):
            yield index * beats_per_cell, (following - index) * beats_per_cell, pattern[index]


def _melody(bar: _Bar, motif: str) -> Iterator[Event]:
    if "lead" not in bar.section.parts:
        return
    beat = 0.0
    for token in motif.split():
        step, _, length = token.partition(":")
        beats = float(length or 1)
        if step != "r":
            pitch = _pitch_of_step(bar.chord_at(beat), int(step), scale=bar.song.scale, octave=bar.song.lead_octave)
            yield bar.event(beat, beats * 0.95, "lead", pitch, 1.0 if beat == int(beat) else 0.85)
        beat += beats


def _chords(bar: _Bar, voicing: tuple[int, ...]) -> Iterator[Event]:
    if "chords" not in bar.section.parts:
        return
    for beat, beats, character in bar.cells(bar.section.groove.chords):
        chord = bar.chord_at(beat)
        pitches = voicing if chord == bar.chords[0] else _nearest_voicing(chord, voicing)
        for pitch in pitches:
            yield bar.event(beat, beats * 0.92, "chords", pitch, _LOUD[character] / len(pitches) ** 0.5)


def _bass(bar: _Bar) -> Iterator[Event]:
    if "bass" not in bar.section.parts:
        return
    for beat, beats, character in bar.cells(bar.section.groove.bass):
        chord = bar.chord_at(beat)
        # E1 is the lowest string of a bass; roots lie in the octave above it, wherever the section is moved to.
        moved = bar.section.transpose
        root = 28 + (chord[0] + moved - 28) % 12 - moved
        pitch = root + 12 if character == "8" else root + (chord[_BASS_TONES[character]] - chord[0]) % 12
        yield bar.event(beat, beats * 0.9, "bass", pitch, 1.0)


def _drums(bar: _Bar, *, is_last: bool) -> Iterator[Event]:
    if "drums" not in bar.section.parts:
        return
    groove = bar.section.groove
    # The fill takes the second half of the bar from everything but the bass drum.
    fill_from = bar.song.beats_per_bar / 2 if is_last and groove.fill else float(bar.song.beats_per_bar)
    for name, pattern in groove.drums.items():
        for beat, _, character in bar.cells(pattern):
            if beat < fill_from or name == "kick":
                yield bar.event(beat, 0.0, name, None, _LOUD[character])
    if is_last:
        for beat, _, character in bar.cells(groove.fill):
            yield bar.event(beat, 0.0, "tom" if character == "o" else "snare", None, 0.5 + 0.12 * beat)


def _pitch_of_step(chord: tuple[int, ...], step: int, *, scale: str, octave: int) -> int:
    octaves, rest = divmod(step, 7)
    root = 12 * (octave + octaves) + chord[0]
    tones = [(pitch - chord[0]) % 12 for pitch in chord]
    tones = sorted({*tones[:3], tones[3] if len(tones) > 3 and tones[3] > 7 else 12})
    if rest % 2 == 0 and rest // 2 < len(tones):
        return root + tones[rest // 2]
    low, high = tones[rest // 2], tones[min(rest // 2 + 1, len(tones) - 1)]
    keys = {_LETTERS[name[0]] + name.count("#") - name.count("b") for name in scale.split()}
    between = [pitch for pitch in range(root + low + 1, root + high) if pitch % 12 in {key % 12 for key in keys}]
    return between[0] if between else root + low


def _nearest_voicing(chord: tuple[int, ...], before: tuple[int, ...]) -> tuple[int, ...]:
    """Return the chord around middle C, each tone in the octave nearest to where the hand was."""
    middle = sum(before) / len(before)
    centre = 0.5 * middle + 0.5 * 60
    return tuple(sorted(pitch + 12 * round((centre - pitch) / 12) for pitch in chord))


def _humanise(event: Event, chance: np.random.Generator) -> Event:
    late_s, softer = chance.random(2)
    start_s = event.start_s + (late_s - 0.5) * 2 * _TIMING_SPREAD_S
    return replace(event, start_s=max(0.0, float(start_s)), level=event.level * (1.0 - 0.15 * float(softer)))
