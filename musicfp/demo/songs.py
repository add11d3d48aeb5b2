"""The demo songs: seven short pieces that differ in key, tempo, metre, harmony and sound.

What belongs here: music, in the notation that `score` explains. Sections are through-composed, with varied returns and
moved last choruses, because a loop sounds the same at every repeat and has no one place where a clip of it belongs.
"""

from musicfp.demo.instruments import Instrument
from musicfp.demo.score import Groove, Section, Song

_ALL = frozenset({"lead", "chords", "bass", "drums"})
_NO_DRUMS = _ALL - {"drums"}
_NO_LEAD = _ALL - {"lead"}
_QUIET = frozenset({"lead", "chords"})

_PLUCKED = Instrument(bright=(1, 0.7, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1), mellow=(1, 0.3, 0.1), bright_decay_s=0.18)
_FLUTE = Instrument(
    bright=(1, 0.35, 0.12), mellow=(1, 0.22, 0.06), attack_s=0.05, sustain=0.9, vibrato_hz=5.1, vibrato_cents=14,
    breath=0.025, release_s=0.12,
)  # fmt: skip
_ACCORDION = Instrument(
    bright=(1, 0.8, 0.55, 0.5, 0.3, 0.25, 0.2), mellow=(1, 0.7, 0.5, 0.4, 0.25), attack_s=0.04, sustain=0.95,
    detune_cents=6, release_s=0.06,
)  # fmt: skip
_SAW = Instrument(
    bright=tuple(1 / n for n in range(1, 25)), mellow=tuple(1 / n**1.6 for n in range(1, 13)), attack_s=0.01,
    bright_decay_s=0.35, sustain=0.7, detune_cents=9, release_s=0.15,
)  # fmt: skip
_WARM_PAD = Instrument(
    bright=(1, 0.5, 0.33, 0.2, 0.15), mellow=(1, 0.4, 0.2, 0.08), attack_s=0.35, sustain=1.0, detune_cents=8,
    release_s=0.6,
)  # fmt: skip
_ELECTRIC_PIANO = Instrument(
    bright=(1, 0.1), mellow=(1, 0.05), fm_ratio=1.0, fm_index=1.6, bright_decay_s=0.5, decay_s=1.4, release_s=0.15
)
_BELL = Instrument(bright=(1,), mellow=(1,), fm_ratio=3.5, fm_index=2.2, bright_decay_s=0.9, decay_s=1.8, release_s=0.9)
_REED = Instrument(
    bright=(1, 0.9, 0.7, 0.6, 0.4, 0.3, 0.2), mellow=(1, 0.8, 0.5, 0.3, 0.15), attack_s=0.035, sustain=0.85,
    vibrato_hz=5.6, vibrato_cents=18, breath=0.03, release_s=0.1,
)  # fmt: skip
_GUITAR_DRIVEN = Instrument(
    bright=(1, 0.8, 0.6, 0.5, 0.4, 0.3), mellow=(1, 0.6, 0.4, 0.3), sustain=0.6, decay_s=0.8, drive=4.0,
    vibrato_hz=5.8, vibrato_cents=10,
)  # fmt: skip
_NYLON = Instrument(bright=(1, 0.6, 0.35, 0.3, 0.1, 0.1), mellow=(1, 0.25, 0.08), bright_decay_s=0.1, decay_s=0.5)
_ORGAN = Instrument(
    bright=(1, 0.8, 0.6, 0.5, 0, 0.3, 0, 0.3), mellow=(1, 0.8, 0.6, 0.5, 0, 0.3, 0, 0.3), sustain=1.0, decay_s=1.0,
    vibrato_hz=6.5, vibrato_cents=6, release_s=0.04,
)  # fmt: skip
_FINGER_BASS = Instrument(bright=(1, 0.6, 0.35, 0.2), mellow=(1, 0.3, 0.1), bright_decay_s=0.12, decay_s=0.9)
_UPRIGHT_BASS = Instrument(bright=(1, 0.7, 0.5, 0.3, 0.2), mellow=(1, 0.4, 0.1), bright_decay_s=0.07, decay_s=0.5)
_SYNTH_BASS = Instrument(
    bright=tuple(1 / n for n in range(1, 17)), mellow=(1, 0.45, 0.25, 0.12), bright_decay_s=0.09, sustain=0.6
)

_POP_VERSE = Groove(
    {"kick": "x.....x.x.......", "snare": "....x.......x..o", "hat": "x.o.x.o.x.o.x.o."},
    chords="x..x..x.x..x..x.", bass="1..1..5.1..1..8.", fill="..........x.xoxo",
)  # fmt: skip
_POP_CHORUS = Groove(
    {"kick": "x..x..x.x..x....", "snare": "....x.......x...", "open_hat": "..x...x...x...x."},
    chords="x.x.x.xxx.x.x.xx", bass="1.1.1.1.5.5.3.3.", fill="........x.x.xoxo",
)  # fmt: skip
_WALTZ = Groove({"kick": "x.....", "brush": "..x.x."}, chords="..x.x.", bass="1.....", fill="....xx")
_WALTZ_FULL = Groove({"kick": "x....o", "brush": "o.x.xo"}, chords="x.x.xx", bass="1...5.", fill="...xxx")
_NEON_VERSE = Groove(
    {"kick": "x...x...x...x...", "snare": "....x.......x...", "hat": "..x...x...x..ox."},
    chords="x...............", bass="1.118.111.115.11", fill="............xoxo",
)  # fmt: skip
_NEON_CHORUS = Groove(
    {"kick": "x...x...x...x...", "snare": "....x.......x...", "open_hat": "..x...x...x...x."},
    chords="x..x..x..x..x.x.", bass="1.8.1.8.1.8.5.8.", fill="........xxxxoooo",
)  # fmt: skip
_SWING = Groove(
    {"ride": "x.xxx.xx", "rim": "..x...x.", "kick": "o...o..."}, chords="..o..x..", bass="1.3.5.8.", fill="....x.oo"
)
_SWING_SHOUT = Groove(
    {"ride": "x.xxx.xx", "snare": "..x...xo", "kick": "x...x..o"}, chords="x..x..x.", bass="8.5.3.1.", fill="....xxoo"
)
_DRIFT = Groove({"shaker": "..o...o."}, chords="x.......", bass="1.......")
_DRIFT_MORE = Groove({"shaker": "..o...o.", "kick": "o......."}, chords="x...o...", bass="1...5...")
_DESERT = Groove(
    {"kick": "x..x..x.x..x..x.", "rim": "..x..x....x.x...", "shaker": "x.oox.oox.oox.oo"},
    chords="x..xx.x.x..xx.x.", bass="1..5..8.1..5..3.", fill="........x.xxooxx",
)  # fmt: skip
_DESERT_HARD = Groove(
    {"kick": "x.x...x.x.x...x.", "snare": "....x.......x..o", "hat": "x.x.x.x.x.x.x.x."},
    chords="xxx.xxx.xxx.x.x.", bass="1.1.1.1.1.1.5.3.", fill="........xxxxooxx",
)  # fmt: skip
_ONE_DROP = Groove(
    {"rim": "....x.......x...", "kick": "....x.......x...", "hat": "x.x.x.xxx.x.x.x."},
    chords="....x.......x.o.", bass="1..1..3.5.....1.", fill="..........xooxoo",
)  # fmt: skip

PAPER_LANTERNS = Song(
    "Paper Lanterns", "The Tin Orchard", "Small Weather", "2021-05-14", "Indie Pop", 116, 4, "D E F# G A B C#",
    (
        Section("D Bm7", "r:2 4 5:.5 4:.5|2:1.5 4:.5 7:2", _POP_VERSE, _QUIET, level=0.8),
        Section("D Bm7 G Em7/A", "0 2:.5 4:1.5 2|4:.5 2:.5 0:2 r|7:1.5 5:.5 4 2|0 2 4:.5 5:.5 7", _POP_VERSE),
        Section("F#m G/A7", "6:.5 4:.5 2:2 r|4:.5 5:.5 4 2:.5 1:.5 0", _POP_VERSE),
        Section("G A F#m Bm", "7:1.5 9:.5 7 4|4:.5 4:.5 7:2 r|9 7:.5 4:1.5 2|0:.5 2:.5 4:3", _POP_CHORUS),
        Section("Em7 Gm A7", "4:3 r|2:1.5 4:.5 5 4|-1 0 2 4", _DRIFT, _NO_DRUMS, 0, 0.8),
        Section("G A Bm F#m G/A D", "7 9 7:.5 4:1.5|9:.5 7:.5 4:2 r|11 9:.5 7:1.5 4|2:.5 4:.5 7:3|4 5 7 9|7:4",
                _POP_CHORUS, _ALL, 2),
    ),
    lead=_FLUTE, chords=_PLUCKED, bass=_FINGER_BASS, mix={"chords": 1.1},
)  # fmt: skip
HARBOUR_WALTZ = Song(
    "Harbour Waltz", "Odile Marsh", "Salt Letters", "2018-11-02", "Folk", 152, 3, "G A Bb C D Eb F",
    (
        Section("Gm Gm Cm D7", "4 5 4|2:2 0|2 4:.5 2:.5 0|2:3", _WALTZ, _NO_DRUMS, level=0.8),
        Section("Gm Eb Bb F Cm Gm A7 D7", "4 2 4|7:2 4|4 3 2|0:2 2|4 5 7|4:2 2|0 2 4|6:3", _WALTZ),
        Section("Eb F Bb Gm Cm F Bb D7", "0 2 4|7 9 7|4:2 2|0:3|2 4 7|5:1.5 4:.5 2|0 1 2|4:3", _WALTZ_FULL),
        Section("Ab Cm Eb Bb Ab Fm Am7b5 D7", "4:2 5|7:2 4|2 0 2|4:3|9 7 4|2:2 0|2 4 6|4:1 2 0", _WALTZ, _QUIET,
                level=0.8),
        Section("Gm Eb Bb F Cm D7 Gm Gm", "7 9 7|4:2 2|9 11 9|7:2 4|4 7 9|6:2 4|7:3|0:3", _WALTZ_FULL, _ALL, 2),
    ),
    lead=_ACCORDION, chords=_NYLON, bass=_UPRIGHT_BASS, lead_octave=5, mix={"chords": 1.2, "drums": 0.8},
    echo_beats=1.0,
)  # fmt: skip
NEON_TIDE = Song(
    "Neon Tide", "Vector Bloom", "Afterimage", "2023-02-17", "Synthwave", 104, 4, "F# G# A B C# D E",
    (
        Section("F#m D", "r:4|r:2 0:.5 2:.5 4:.5 5:.5", _NEON_VERSE, _NO_LEAD, level=0.85),
        Section("F#m E D Bm7", "7:1.5 6:.5 4:2|4:1.5 2:.5 0:2|2 4 7:.5 5:.5 4|2:3 r", _NEON_VERSE),
        Section("A E F#m C#m", "4:.5 4:.5 7 9:2|7:.5 4:.5 2 4:2|0:.5 2:.5 4 7 9|4:3 r", _NEON_CHORUS),
        Section("Gmaj7 D Em7 C#7", "0:2 2:2|4:1.5 5:.5 4 2|7:3 r|6 4 2 1", _NEON_VERSE, _NO_DRUMS, 0, 0.85),
        Section("Bm G A F#m", "7 9:.5 11:1.5 9|7:.5 4:.5 2:3|4:.5 7:.5 9:2 7|4:4", _NEON_CHORUS, _ALL, 3),
    ),
    lead=_SAW, chords=_WARM_PAD, bass=_SYNTH_BASS, mix={"lead": 0.8, "bass": 0.9}, echo_beats=0.75,
)  # fmt: skip
BLUE_KETTLE = Song(
    "Blue Kettle", "Hattie and the Late Trains", "Last Orders", "1997", "Jazz", 148, 4, "Bb C D Eb F G A",
    (
        Section("Cm7/F7 Bbmaj7", "r 0:.5 2:.5 4:.5 5:.5 6|7:1.5 4:.5 2:2", _SWING, _NO_DRUMS, level=0.9),
        Section("Bbmaj7 G7 Cm7 F7", "4:.5 5:.5 4:.5 2:.5 0 2|4:.5 3:.5 2:2 r|r:.5 2:.5 4:.5 6:.5 7 6|4:.5 2:.5 0:3",
                _SWING),
        Section("Dm7 G7 Cm7/F7 Bb6", "7:.5 6:.5 4 2:.5 0:.5 2|6:1.5 4:.5 2 r|9:.5 7:.5 4 0:.5 2:.5 4|2:3 r", _SWING),
        Section("Bb7 Eb6 Edim Bb6/G7", "6:.5 7:.5 9:2 7|4:1.5 2:.5 0:2|0:.5 2:.5 4:.5 6:.5 7 9|4 2 4:.5 6:.5 7",
                _SWING_SHOUT),
        Section("Gm7 C7 Fmaj7 Abm7/G7", "r:.5 4:.5 2 4 5|6:3 r|7:.5 6:.5 4:.5 2:.5 0:2|2 4 6 4", _SWING, _NO_DRUMS,
                level=0.85),
        Section("Cm7 F7 Dm7/G7 Cm7/F7 Bb6", "9:.5 7:.5 9 11:2|9:.5 7:.5 6 4:2|7 6:.5 4:.5 2 4|0:.5 2:.5 4 6 7|9:4",
                _SWING_SHOUT),
    ),
    lead=_REED, chords=_ELECTRIC_PIANO, bass=_UPRIGHT_BASS, swing=0.66, lead_octave=5, mix={"drums": 0.7, "bass": 1.2},
)  # fmt: skip
SLOW_GLACIER = Song(
    "Slow Glacier", "Nils Ostrem", "Terminal Moraine", "2015-09-30", "Ambient", 72, 4, "E F# G# A# B C# D#",
    (
        Section("Emaj7 F#", "r:2 4 7|9:3 r", _DRIFT, frozenset({"lead", "chords"}), level=0.8),
        Section("C#m7 B Amaj7", "4:2 2:2|0 2 4:2|7:1.5 6:.5 4:2", _DRIFT),
        Section("G#m7 F# E", "9 7 6:2|4:3 r|2 4 7 9", _DRIFT_MORE),
        Section("Cmaj7 G Bsus", "4:1 6 7:2|9:2 7 4|3:2 4:2", _DRIFT, _NO_DRUMS),
        Section("E", "7:4", _DRIFT, frozenset({"lead", "chords", "bass"})),
    ),
    lead=_BELL, chords=_WARM_PAD, bass=_FINGER_BASS, mix={"chords": 1.3, "lead": 0.8}, echo_beats=1.5, wind_level=0.05,
)  # fmt: skip
COPPER_CANYON = Song(
    "Copper Canyon Run", "Ruta Verde", "Polvo", "2009-07-21", "Rock", 132, 4, "A B C D E F G",
    (
        Section("Am Am", "r:4|r:2 0:.5 2:.5 4:.5 6:.5", _DESERT, _NO_LEAD, level=0.9),
        Section("Am G F E7", "4:.5 5:.5 4 2 0|2:.5 4:.5 2:2 r|4 7:.5 5:.5 4 2|2:1.5 4:.5 6:2", _DESERT),
        Section("Am G Dm E7", "7 6:.5 4:.5 2 4|4:.5 2:.5 0:2 r|7:.5 9:.5 7 4 2|6 4 2 4", _DESERT),
        Section("C G Dm Am F C Bm7b5 E7",
                "4:1.5 2:.5 4 7|9:2 7:2|4:.5 5:.5 7 9:2|7:3 r|9 7 4 2|4:.5 2:.5 0:3|2 4 6 7|6:3 r", _DESERT_HARD),
        Section("Am F G E7 Am", "4:.5 5:.5 7 9 11|9:.5 7:.5 4:3|7:.5 9:.5 11 9 7|6:.5 7:.5 6 4 2|0:4",
                _DESERT_HARD, _ALL, -3),
    ),
    lead=_GUITAR_DRIVEN, chords=_NYLON, bass=_FINGER_BASS, lead_octave=4, mix={"lead": 0.7, "chords": 1.3},
    echo_beats=0.5,
)  # fmt: skip
SUNDAY_VERANDA = Song(
    "Sunday Veranda", "Parish Lime", "Slow Fan", "2011-08-05", "Reggae", 92, 4, "Eb F G Ab Bb C D",
    (
        Section("Eb Ab", "r 4:.5 5:.5 7 4|2:1.5 0:.5 2:2", _ONE_DROP),
        Section("Eb Cm7 Fm7 Bb7", "4 2:.5 0:1.5 2|4:.5 6:.5 7:2 r|9:.5 7:.5 4 2:2|2 4 6 4", _ONE_DROP),
        Section("Ab Gm Fm7 Bb7", "7:1.5 9:.5 7 4|2 4:2 r|0:.5 2:.5 4 6 7|6:3 r", _ONE_DROP),
        Section("Db Ab Eb", "4:.5 5:.5 7 9:2|7:.5 4:.5 2:3|0:4", _ONE_DROP),
    ),
    lead=_REED, chords=_ORGAN, bass=_SYNTH_BASS, lead_octave=4, mix={"chords": 1.0, "bass": 1.1}, echo_beats=0.75,
)  # fmt: skip

# The songs that make the catalogue; SUNDAY_VERANDA is only ever offered without tags.
CATALOGUE_SONGS = (PAPER_LANTERNS, HARBOUR_WALTZ, NEON_TIDE, BLUE_KETTLE, SLOW_GLACIER, COPPER_CANYON)
