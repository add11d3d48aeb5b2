"""`python -m eval.hostile`: makes every hostile file, has each inspected as an upload is, prints what became of it.

Exit status 1 if one got no clear answer, a wrong one, or made us look elsewhere.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from eval.hostile.bombs import bombs
from eval.hostile.claims import claims
from eval.hostile.damage import damage
from eval.hostile.model import HostileFile
from eval.hostile.run import Observed, observe_all
from eval.hostile.traps import traps

_SETS = {"traps": traps, "claims": claims, "bombs": bombs, "damage": damage}
_HEAD = f"{'group':17} {'file':58} {'MB':>6} {'outcome':40} {'CPU s':>6} {'wall s':>6} {'peak MB':>7} {'hits':>4}"


def hostile_files(*sets: str) -> Iterator[HostileFile]:
    """Yield the files of these sets, of all by default."""
    for name in sets or _SETS:
        yield from _SETS[name]()


def main() -> int:
    """Run and print; return the exit status."""
    options = _parser().parse_args()
    files = [
        each for each in hostile_files(*options.sets) if options.only.lower() in f"{each.group} {each.name}".lower()
    ]
    observed: list[Observed] = []
    print(_HEAD)
    with tempfile.TemporaryDirectory(prefix="musicfp-hostile-") as folder:
        for each in observe_all(files, Path(folder), timeout_s=options.timeout):
            observed.append(each)
            print(_line(each), flush=True)
    print(_summary(observed))
    if options.json:
        options.json.write_text(json.dumps([_record(each) for each in observed], indent=1) + "\n")
    return 0 if all(each.is_right for each in observed) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eval.hostile", description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="SET", help="which sets of files; all by default")
    parser.add_argument("--only", default="", help="only files with this in their group or name")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds for one file, as in production")
    parser.add_argument("--json", type=Path, help="write the results here too")
    return parser


def _line(each: Observed) -> str:
    outcome = f"LOST {each.fault}" if each.fault else ", ".join(each.codes)
    wrong = "" if each.is_right else f"   <-- expected {', '.join(sorted(each.file.expected)) or 'an answer'}"
    return (
        f"{each.file.group:17} {each.file.name:58} {each.size_bytes / 1e6:6.1f} {outcome:40} {each.cpu_s:6.2f} "
        f"{each.wall_s:6.2f} {each.peak_bytes / 1e6:7.0f} {each.server_hits + each.file_hits:4d}{wrong}"
    )


def _summary(observed: list[Observed]) -> str:
    if not observed:
        return "no files"
    slowest, biggest = max(observed, key=lambda each: each.cpu_s), max(observed, key=lambda each: each.peak_bytes)
    hits = sum(each.server_hits for each in observed), sum(each.file_hits for each in observed)
    return (
        f"{len(observed)} files, {sum(not each.is_right for each in observed)} wrong; "
        f"canary hits: server {hits[0]}, file {hits[1]}; "
        f"most CPU {slowest.cpu_s:.1f} s ({slowest.file.name}), most memory {biggest.peak_bytes / 1e6:.0f} MB "
        f"({biggest.file.name})"
    )


def _record(each: Observed) -> dict[str, object]:
    fields = dataclasses.asdict(dataclasses.replace(each, file=dataclasses.replace(each.file, expected=frozenset())))
    fields["file"] = {"group": each.file.group, "name": each.file.name, "extension": each.file.extension}
    return {**fields, "right": each.is_right}


if __name__ == "__main__":
    sys.exit(main())
