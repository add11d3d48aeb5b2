"""The one table of transcode profiles: what a track can be delivered as.

What belongs here: codecs, containers, encoder arguments and what is known about them. What does not: running one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from musicfp.errors import SettingsError


@dataclass(frozen=True)
class TranscodeProfile:
    """One way to deliver a track.

    `nominal_bitrate_bps` is None for variable bit rates and lossless. `codec_delay_s` is how much longer than its
    source a decoded file may be because its encoder works in whole frames (worst case: the frame at the lowest sample
    rate in `sample_rates_hz`). A source is converted to the nearest of those, if its own is not among them.
    """

    name: str
    codec: str
    container: str
    extension: str
    mime: str
    ffmpeg_args: tuple[str, ...]
    nominal_bitrate_bps: int | None
    codec_delay_s: float
    sample_rates_hz: tuple[int, ...] = (44100, 48000, 32000)


PROFILES = (
    TranscodeProfile(
        name="mp3_v0",
        codec="mp3",
        container="mp3",
        extension="mp3",
        mime="audio/mpeg",
        ffmpeg_args=("-c:a", "libmp3lame", "-q:a", "0", "-id3v2_version", "3"),
        nominal_bitrate_bps=None,
        codec_delay_s=1152 / 32000,
    ),
    TranscodeProfile(
        name="mp3_128",
        codec="mp3",
        container="mp3",
        extension="mp3",
        mime="audio/mpeg",
        ffmpeg_args=("-c:a", "libmp3lame", "-b:a", "128k", "-id3v2_version", "3"),
        nominal_bitrate_bps=128_000,
        codec_delay_s=1152 / 32000,
    ),
    TranscodeProfile(
        name="aac_128",
        codec="aac",
        container="mov",
        extension="m4a",
        mime="audio/mp4",
        ffmpeg_args=("-c:a", "aac", "-b:a", "128k", "-f", "ipod", "-movflags", "+faststart"),
        nominal_bitrate_bps=128_000,
        codec_delay_s=1024 / 32000,
    ),
    TranscodeProfile(
        name="opus_96",
        codec="opus",
        container="ogg",
        extension="opus",
        mime="audio/ogg",
        ffmpeg_args=("-c:a", "libopus", "-b:a", "96k"),
        nominal_bitrate_bps=96_000,
        codec_delay_s=0.0,
        sample_rates_hz=(48000,),
    ),
    TranscodeProfile(
        name="vorbis_q5",
        codec="vorbis",
        container="ogg",
        extension="ogg",
        mime="audio/ogg",
        ffmpeg_args=("-c:a", "libvorbis", "-q:a", "5"),
        nominal_bitrate_bps=None,
        codec_delay_s=0.0,
    ),
    TranscodeProfile(
        name="flac",
        codec="flac",
        container="flac",
        extension="flac",
        mime="audio/flac",
        ffmpeg_args=("-c:a", "flac"),
        nominal_bitrate_bps=None,
        codec_delay_s=0.0,
        sample_rates_hz=(8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 176400, 192000),
    ),
)
_BY_NAME = {profile.name: profile for profile in PROFILES}


def profiles_named(names: Sequence[str]) -> tuple[TranscodeProfile, ...]:
    """Return the profiles with these names in this order. Raise SettingsError naming those that do not exist."""
    unknown = [name for name in names if name not in _BY_NAME]
    if unknown:
        raise SettingsError(
            f"MUSICFP_TRANSCODE_PROFILES names {', '.join(unknown)}, which does not exist; "
            f"choose among {', '.join(_BY_NAME)}."
        )
    return tuple(_BY_NAME[name] for name in names)
