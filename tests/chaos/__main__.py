"""`python -m tests.chaos --kills 200 --database sqlite`: break the product, print what was done and what was lost.

Exit status 1 if an invariant does not hold.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.disk import fill, require_small
from tests.chaos.failpoints import Failpoint, named
from tests.chaos.product import POWER, Product, running_product
from tests.chaos.rest import Rest, expire_upload, make_old, n_waiting, settle, status_of
from tests.chaos.workload import Feeder, Workload
from tests.support.waiting import eventually

_REST_WITHIN_S = 900.0
_HIT_WITHIN_S = 180.0
_FULL_S = 45.0
# Few, so that there is more time for killing than for encoding.
PROFILES = "mp3_128,opus_96"


class Chaos:
    """One product, what was done to it, and what was found at each rest."""

    def __init__(self, product: Product, folder: Path, *, seed: int) -> None:
        self.product = product
        self.workload = Workload(product, folder, seed)
        self.random = random.Random(seed)  # noqa: S311
        self.hits: dict[str, str] = {}
        self.rests: list[Rest] = []

    def rest(self) -> Rest:
        """Wait for rest and look at everything."""
        found = settle(self.workload, within_s=_REST_WITHIN_S)
        self.rests.append(found)
        say(
            f"at rest after {found.took_s:.0f} s: {dict(found.findings.n_checked)}, "
            f"{len(found.findings.violations)} violations, {len(found.findings.orphans)} orphans"
        )
        for each in found.findings.violations[:20]:
            say(f"  VIOLATION {each}")
        return found

    def kill_at(self, point: Failpoint) -> None:
        """Send what leads to a failpoint, and wait until somebody has died there."""
        self.product.mend()
        act = getattr(self, f"_{point.needs}")
        began = time.monotonic()
        act(point)
        try:
            eventually(lambda: self._has_died_at(point), within_s=_HIT_WITHIN_S, every_s=0.5)
        except AssertionError:
            self.product.arsenal.disarm(point)
            self.hits[point.name] = "NOT REACHED"
        else:
            self.product.kills[f"at {point.stage}"] += 1
            self.hits[point.name] = "killed"
            if point.needs == "old":
                self._next_night()
        say(f"{point.name}: {self.hits[point.name]} after {time.monotonic() - began:.0f} s")

    def pull_the_plug(self) -> None:
        """End everything at once while a run is at work, and start it again."""
        self._wait_for_work()
        self.product.kill(POWER, 0)

    def fill_the_disk(self) -> None:
        """Leave no byte free while a run is at work and another song waits."""
        self._wait_for_work()
        self.workload.send_songs(n_copies=1)
        n_bytes = fill(self.product.home, for_s=_FULL_S)
        say(f"the disk was full for {_FULL_S:.0f} s: {n_bytes / 1e6:.0f} MB taken")

    def _wait_for_work(self) -> None:
        """Send a song and wait until a run is somewhere between its imports and its last effects."""
        self.product.mend()
        self.workload.send_songs(n_copies=1)
        eventually(lambda: "run worker" in self.product.victims(), within_s=_HIT_WITHIN_S, every_s=0.2)
        time.sleep(self.random.uniform(0, 6))

    def kill_at_random(self, n_kills: int, *, mean_pause_s: float) -> None:
        """Kill so many processes at random times while songs keep coming."""
        with Feeder(self.workload, every_s=6.0, n_waiting=lambda: n_waiting(self.product)):
            for _ in range(n_kills):
                time.sleep(self.random.expovariate(1 / mean_pause_s))
                self.product.mend()
                victims = eventually(self.product.victims, within_s=60)
                # Rare kinds as often as others, and short-lived ones whenever they are seen.
                weights = [4 if kind.startswith(("run", "worker", "ffmpeg")) else 1 for kind in victims]
                (kind,) = self.random.choices(list(victims), weights)
                self.product.kill(kind, self.random.choice(victims[kind]))

    def _has_died_at(self, point: Failpoint) -> bool:
        self.product.mend()
        return self.product.arsenal.was_hit(point)

    def _songs(self, point: Failpoint) -> None:
        self.product.arsenal.arm(point)
        self.workload.send_songs(n_copies=1)

    def _parts(self, point: Failpoint) -> None:
        self.product.arsenal.arm(point)
        self.workload.send_in_parts()

    def _review(self, point: Failpoint) -> None:
        first, second = self.workload.new_recording(), self.workload.new_recording()
        self.workload.send(self.workload.file(first, "same bytes"), recording=first, variant="same bytes")
        self.rest()
        waiting = self.workload.send(self.workload.medley(first, second), recording=second, variant="medley")
        eventually(lambda: self._status(waiting) == "NEEDS_REVIEW", within_s=_HIT_WITHIN_S, every_s=1)
        self.product.arsenal.arm(point)
        self.workload.mutate("reviewSubmission", waiting, accept=True, reason="It is another one.")

    def _retry(self, point: Failpoint) -> None:
        rejected = self.workload.send_rubbish()
        eventually(lambda: self._status(rejected) == "REJECTED", within_s=_HIT_WITHIN_S, every_s=1)
        self.product.arsenal.arm(point)
        self.workload.mutate("retrySubmission", rejected)

    def _abandoned(self, point: Failpoint) -> None:
        abandoned = self.workload.ask_for_parts()
        self.product.arsenal.arm(point)
        expire_upload(self.product, abandoned)

    def _old(self, point: Failpoint) -> None:
        rejected = self.workload.send_rubbish()
        self.rest()
        self.product.arsenal.arm(point)
        make_old(self.product, rejected)
        self.workload.launch("expiry_job")

    def _next_night(self) -> None:
        """Start the job again that was killed: its schedule does that once a day, and nobody else needs to."""
        self.product.mend()
        self.workload.launch("expiry_job")

    def _status(self, submission_id: str) -> str:
        return status_of(self.product, submission_id)


def say(message: str) -> None:
    """Tell how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)  # noqa: T201


def main(argv: Sequence[str]) -> int:
    """Run as asked, print the tables, and return the exit status."""
    options = _options(argv)
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=options.folder))
    if options.full_disks:
        require_small(folder)
    more = {"MUSICFP_TRANSCODE_PROFILES": PROFILES, "MUSICFP_REVIEW_RELATED": "1", "MUSICFP_WORKERS": "2"}
    with running_product(folder / "home", database=options.database, **more) as product:
        chaos = Chaos(product, folder / "files", seed=options.seed)
        say(f"running in {folder}")
        points = [] if options.failpoints == ["none"] else list(named(options.failpoints))
        for number, point in enumerate(points, start=1):
            chaos.kill_at(point)
            if number % options.rest_after_points == 0 or number == len(points):
                chaos.rest()
        for _ in range(options.power_failures):
            chaos.pull_the_plug()
        if options.power_failures:
            say(f"{options.power_failures} power failures")
            chaos.rest()
        for _ in range(options.full_disks):
            chaos.fill_the_disk()
            chaos.rest()
        left = options.kills
        while left > 0:
            chaos.kill_at_random(min(left, options.rest_after_kills), mean_pause_s=options.pause)
            left -= options.rest_after_kills
            say(f"{options.kills - max(left, 0)} random kills")
            chaos.rest()
    return _report(chaos)


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--kills", type=int, default=200, help="random kills")
    parser.add_argument("--power-failures", type=int, default=3, help="how often all ends at once, before those")
    parser.add_argument("--full-disks", type=int, default=0, help="how often --folder's disk, a small one, is filled")
    parser.add_argument("--failpoints", nargs="*", default=[], help="beginnings of names; none leaves them out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=4.0, help="mean seconds between random kills")
    parser.add_argument("--rest-after-kills", type=int, default=25)
    parser.add_argument("--rest-after-points", type=int, default=6)
    parser.add_argument("--folder", default=None, help="where its data goes, and stays")
    return parser.parse_args(argv)


def _report(chaos: Chaos) -> int:
    violations = Counter(each for rest in chaos.rests for each in rest.findings.violations)
    not_reached = [name for name, result in chaos.hits.items() if result != "killed"]
    last = chaos.rests[-1]
    lines = ["", "| killed | times |", "|---|---|"]
    lines += [f"| {kind} | {n} |" for kind, n in sorted(chaos.product.kills.items())]
    lines += [f"| in all | {chaos.product.kills.total()} |", ""]
    lines += [f"failpoints: {len(chaos.hits)}, not reached: {not_reached or 'none'}"]
    lines += [f"`musicfp up` was started again: {dict(chaos.product.restarts)}"]
    lines += [f"rests: {len(chaos.rests)}; at the last one {dict(last.findings.n_checked)}; runs {last.state.n_runs}"]
    lines += [f"orphans for the reconcile: {len(last.findings.orphans)}", f"violations: {len(violations)}"]
    lines += [f"  {each}" for each in violations]
    print("\n".join(lines))  # noqa: T201
    return 1 if violations or not_reached else 0


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # what was started is stopped, also when it runs in the background
        signal.signal(number, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
