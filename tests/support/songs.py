"""Synthesised songs for tests that take real audio through the pipeline, and other versions of the same song."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support.audio_samples import encode, music_samples, write_wav

SONG_S = 24.0
_RATE_HZ = 44100


@dataclass(frozen=True)
class SongFolder:
    """Makes files in one folder. The same arguments give the same file."""

    folder: Path

    def song(self, seed: int, *, tags: bool = True) -> Path:
        """A FLAC with a title and an artist, different music for each seed."""
        path = self.folder / f"song-{seed}{'' if tags else '-untagged'}.flac"
        return path if path.exists() else encode(self._wav(seed), path, tags=_tags(seed) if tags else None)

    def other_codec(self, seed: int) -> Path:
        """The same recording as a small MP3."""
        path = self.folder / f"song-{seed}.mp3"
        return encode(self.song(seed), path, ("-c:a", "libmp3lame", "-b:a", "64k"))

    def trimmed(self, seed: int, *, start_s: float, length_s: float) -> Path:
        """A part of the recording, as Ogg Vorbis."""
        path = self.folder / f"song-{seed}-{start_s}-{length_s}.ogg"
        return encode(self.song(seed), path, ("-ss", str(start_s), "-t", str(length_s), "-c:a", "libvorbis"))

    def faster(self, seed: int, *, percent: float) -> Path:
        """The recording played faster as a record is, higher and shorter, as FLAC."""
        path = self.folder / f"song-{seed}-{percent:+g}.flac"
        rate_hz = round(_RATE_HZ * (1 + percent / 100))
        return encode(self.song(seed), path, ("-af", f"asetrate={rate_hz},aresample={_RATE_HZ}"))

    def transposed(self, seed: int, *, semitones: int) -> Path:
        """The recording at another pitch and its own speed, as FLAC."""
        path = self.folder / f"song-{seed}-{semitones:+d}-semitones.flac"
        factor = 2 ** (semitones / 12)
        rate_hz = round(_RATE_HZ * factor)
        changed = f"asetrate={rate_hz},aresample={_RATE_HZ},atempo={1 / factor:.6f}"
        return encode(self.song(seed), path, ("-af", changed))

    def cancelling(self, seed: int) -> Path:
        """The recording's left channel, and the same upside down as the right one, as FLAC."""
        left = music_samples(SONG_S, seed=seed)[:, :1]
        wav = write_wav(self.folder / f"song-{seed}-cancelling.wav", np.concatenate([left, -left], axis=1))
        return encode(wav, wav.with_suffix(".flac"), tags=_tags(seed))

    def medley(self, *seeds: int) -> Path:
        """Several songs one after the other: it contains each of them."""
        path = self.folder / f"medley-{'-'.join(map(str, seeds))}.wav"
        write_wav(path, np.concatenate([music_samples(SONG_S, seed=seed) for seed in seeds]))
        return encode(path, path.with_suffix(".flac"), tags=_tags(99))

    def medley_in_other_codec(self, *seeds: int) -> Path:
        """The same medley as an MP3."""
        return encode(self.medley(*seeds), self.folder / "medley.mp3", ("-c:a", "libmp3lame", "-b:a", "96k"))

    def silence(self) -> Path:
        """Ten seconds of nothing, tagged."""
        wav = write_wav(self.folder / "silence.wav", np.zeros((10 * _RATE_HZ, 2), dtype=np.float32))
        return encode(wav, self.folder / "silence.flac", tags=_tags(98))

    def short(self) -> Path:
        """One second of music, tagged."""
        wav = write_wav(self.folder / "short.wav", music_samples(1.0, seed=97))
        return encode(wav, self.folder / "short.flac", tags=_tags(97))

    def file(self, name: str, content: bytes) -> Path:
        """Any bytes under any name."""
        path = self.folder / name
        path.write_bytes(content)
        return path

    def _wav(self, seed: int) -> Path:
        path = self.folder / f"song-{seed}.wav"
        return path if path.exists() else write_wav(path, music_samples(SONG_S, seed=seed))


def _tags(seed: int) -> dict[str, str]:
    return {"title": f"Song {seed}", "artist": "Ada", "album": "First"}
