"""Programs that make the music and others that answer about it: finding and installing them.

    python -m eval.features.tools     music21, mido and librosa into build/peers/features; fluidsynth and two soundfonts

What belongs here: installation. What does not: running them (`material`, `peers`).
"""

import os
import shutil
import subprocess
import venv
from pathlib import Path

from eval.peers import PEERS

PYTHON = PEERS / "features" / "bin" / "python"
_MODULES = ("music21==10.5.1", "mido==1.3.3", "librosa==0.11.0")
_SYSTEM_PACKAGES = ("fluidsynth", "fluid-soundfont-gm", "timgm6mb-soundfont")
SOUNDFONTS = {
    "fluidr3": Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    "timgm6mb": Path("/usr/share/sounds/sf2/TimGM6mb.sf2"),
}
_HOW = "python -m eval.features.tools"


def require_tools() -> None:
    """Install what is missing; raises SystemExit with what to do when that does not work."""
    try:
        install()
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(
            f"Cannot install what makes the music: {error}\n"
            f"As root: apt-get install --no-install-recommends {' '.join(_SYSTEM_PACKAGES)}; then {_HOW}"
        ) from error


def install() -> None:
    """Install the modules into an environment of their own and the synthesiser by apt, each only if missing."""
    if not (PYTHON.parent / ".complete").exists():
        venv.create(PYTHON.parents[1], with_pip=True)
        subprocess.run([str(PYTHON), "-m", "pip", "install", "--quiet", *_MODULES], check=True)
        (PYTHON.parent / ".complete").write_text("\n".join(_MODULES) + "\n")
    if shutil.which("fluidsynth") is None or not all(path.exists() for path in SOUNDFONTS.values()):
        as_root = [] if os.geteuid() == 0 else ["sudo"]
        argv = [*as_root, "apt-get", "-qq", "install", "-y", "--no-install-recommends", *_SYSTEM_PACKAGES]
        subprocess.run(argv, check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


if __name__ == "__main__":
    install()
