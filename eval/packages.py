"""The full set of music: which Debian packages carry it, and getting it out of them.

What belongs here: the list and the archives inside packages. What does not: decoding and splitting (`music`).

Nothing is installed. The corpus script downloads each package and takes its audio files out; some games keep their
music in zip archives under another name, which are opened here. Chosen by trying all games of Debian 12 that could have
music: each of these holds at least one piece of 45 s.
"""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

_NAMES = """
    a7xpg-data abe-data alienblaster-data amoebax-data angrydd ardentryst asc-music biniax2-data blockout2
    bomberclone-data btanks-data bumprace-data colobot-common-sounds criticalmass-data cuyo-data davegnukem-data
    drascula-music enigma-data extremetuxracer-data fb-music-high fillets-ng-data flare-game freedink-data
    freedroid-data freedroidrpg-data fretsonfire-songs-muldjord fretsonfire-songs-sectoid frozen-bubble-data funnyboat
    gamine-data glob2-data gunroar-data hannah-data hedgewars-data heroes-sound-tracks hex-a-hop-data
    holotz-castle-data hyperrogue-music ironseed-data krank lincity-ng-data lordsawar-data lugaru-data madbomber-data
    mazeofgalious-data megaglest-data mu-cade-data nexuiz-music noiz2sa-data open-invaders-data openarena-088-data
    orbital-eunuchs-sniper-data pachi-data parsec47-data pathological pax-britannica-data pekka-kana-2-data
    pinball-data pinball-table-gnu-data pingus-data planetblupi-music-ogg plee-the-bear-data powermanga-data
    pushover-data rafkill-data raincat-data rrootage-data scorched3d-data singularity-music solarwolf starfighter-data
    supertux-data tecnoballz-data titanion-data tomatoes-data toppler torus-trooper-data trackballs-data
    tumiki-fighters-data tuxfootball tuxmath-data tuxtype-data ufoai-music unknown-horizons vonsh warzone2100-music
    wesnoth-1.16-music wizznic-data wordwarvi-sound xmoto-data zaz-data
"""
FULL_PACKAGES = tuple(_NAMES.split())
_ARCHIVES = {".pk3", ".pk4", ".zip", ".fpk", ".pak"}
_AUDIO = {".ogg", ".oga", ".mp3", ".wav", ".flac", ".opus", ".m4a", ".mod", ".xm", ".it", ".s3m"}
# Written when everything is there and unpacked.
_COMPLETE = ".complete"
_TIMEOUT_S = 7200


def is_fetched(folder: Path) -> bool:
    """Whether the music of all packages is in a folder."""
    complete = folder / _COMPLETE
    return complete.exists() and complete.read_text().split() == list(FULL_PACKAGES)


def fetch_full(folder: Path, script: Path) -> None:
    """Get the music of all packages into a folder by the corpus script; what is there already is not fetched again."""
    argv = ["bash", str(script), str(folder), *FULL_PACKAGES]
    subprocess.run(argv, check=True, timeout=_TIMEOUT_S, stdout=sys.stderr)
    unpack_archives(folder)
    missing = [package for package in FULL_PACKAGES if not (folder / package / ".done").exists()]
    if missing:
        print(f"Without the music of {', '.join(missing)}: not downloaded.", file=sys.stderr)
    else:
        (folder / _COMPLETE).write_text("\n".join(FULL_PACKAGES) + "\n")


def unpack_archives(folder: Path) -> None:
    """Put the audio files of every zip archive below a folder beside it, and delete the archive."""
    for archive in sorted(folder.rglob("*")):
        if archive.suffix.lower() in _ARCHIVES and archive.is_file():
            if zipfile.is_zipfile(archive):
                _unpack(archive)
            archive.unlink()


def _unpack(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            name = PurePosixPath(member.filename)
            if name.suffix.lower() in _AUDIO and not member.is_dir():
                # One flat folder for each archive: names inside archives are not trusted as paths.
                target = archive.with_name(f"{archive.stem} unpacked") / "_".join(name.parts[-2:])
                target.parent.mkdir(exist_ok=True)
                with opened.open(member) as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file)
