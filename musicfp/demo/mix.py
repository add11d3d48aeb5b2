"""From a list of notes to stereo PCM.

What belongs here: levels, places in the stereo picture, echo, room and the final level. What does not: notes
(`score`) and sounds (`instruments`).
"""

import numpy as np
from numpy.typing import NDArray

from musicfp.demo.instruments import RATE_HZ, Samples, play_drum, play_note, wind
from musicfp.demo.score import Event, Song, perform

_TAIL_S = 1.6
_PEAK = 0.89
# Level, and place from -1 (left) to 1 (right).
_DRUM_PLACES = {
    "kick": (0.8, 0.0),
    "snare": (0.5, 0.05),
    "tom": (0.6, -0.3),
    "brush": (0.45, 0.15),
    "rim": (0.35, 0.3),
    "hat": (0.3, 0.35),
    "open_hat": (0.25, 0.35),
    "ride": (0.25, -0.4),
    "shaker": (0.3, -0.5),
}
_PITCHED_LEVELS = {"lead": (0.42, 0.12), "chords": (0.36, -0.15), "bass": (0.5, 0.0)}
# Delays in ms of a small room's first reflections, left and right, with their levels.
_ROOM_MS = ((11.3, 17.9, 0.22), (23.7, 29.3, 0.17), (41.1, 37.7, 0.13), (61.7, 67.1, 0.09), (89.3, 83.9, 0.06))


def render(song: Song) -> NDArray[np.int16]:
    """Play a song.

    Returns
    -------
    NDArray[np.int16]
        Stereo at `RATE_HZ`, shape (n, 2); peak at -1 dBFS. The same song gives the same samples every time.
    """
    events = perform(song)
    end_s = max(event.start_s + event.duration_s for event in events) + _TAIL_S
    n_samples = int(end_s * RATE_HZ)
    dry, wet = np.zeros((n_samples, 2), np.float32), np.zeros((n_samples, 2), np.float32)
    for event in events:
        _play(song, event, dry if event.pitch is None or event.sound == "bass" else wet)
    if song.wind_level:
        wet += wind(n_samples, period_s=end_s / 3)[:, None] * np.float32(song.wind_level)
    _add_echo(wet, delay_s=song.echo_beats * 60.0 / song.beats_per_minute)
    _add_room(wet)
    # Another song has other notes; those of this one took up to 100 MB.
    play_note.cache_clear()
    return _finish(dry + wet)


def _play(song: Song, event: Event, track: Samples) -> None:
    start = int(event.start_s * RATE_HZ)
    if event.pitch is None:
        level, place = _DRUM_PLACES[event.sound]
        level *= song.mix.get("drums", 1.0)
        sound = play_drum(event.sound)[:, None]
    else:
        level, place = _PITCHED_LEVELS[event.sound]
        level *= song.mix.get(event.sound, 1.0)
        instrument = {"lead": song.lead, "chords": song.chords, "bass": song.bass}[event.sound]
        # Whole hundredths of a second, so that notes of one length are made once.
        sound = play_note(instrument, event.pitch, max(1, round(event.duration_s * 100)) * RATE_HZ // 100)
    gains = np.array([1.0 - max(0.0, place), 1.0 + min(0.0, place)]) * level * event.level
    stop = min(start + sound.shape[0], track.shape[0])
    track[start:stop] += sound[: stop - start] * gains.astype(np.float32)


def _add_echo(track: Samples, *, delay_s: float) -> None:
    """Add two repeats that cross from one side to the other."""
    source = track.copy()
    for repeat, level in ((1, 0.24), (2, 0.1)):
        shift = int(repeat * delay_s * RATE_HZ)
        track[shift:] += source[:-shift, ::-1] * np.float32(level)


def _add_room(track: Samples) -> None:
    source = track.copy()
    for left_ms, right_ms, level in _ROOM_MS:
        for side, delay_ms in enumerate((left_ms, right_ms)):
            shift = int(delay_ms * RATE_HZ / 1000)
            track[shift:, side] += source[:-shift, side] * np.float32(level)


def _finish(mixed: Samples) -> NDArray[np.int16]:
    fade = min(int(0.8 * RATE_HZ), mixed.shape[0])
    mixed[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)[:, None]
    mixed /= np.abs(mixed).max() / np.float32(1.6)
    # A soft knee: peaks of drums lose a little, the rest of the song gains 4 dB.
    squared = np.minimum(mixed * mixed, np.float32(9.0))
    soft = mixed * (np.float32(27.0) + squared) / (np.float32(27.0) + np.float32(9.0) * squared)
    soft *= np.float32(_PEAK * 32767.0) / np.abs(soft).max()
    pcm: NDArray[np.int16] = np.rint(soft).astype(np.int16)
    return pcm
