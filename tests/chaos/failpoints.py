"""The places between two effects at which the product is killed: a table.

What belongs here: each place as a function of the product, before or after which a process dies, and what is sent to
get there. What does not: dying (`inject.sitecustomize`) and sending (`workload`).
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

PIPELINE = "musicfp.pipeline"
_INSTANCE = "dagster._core.instance.instance"
_DEFAULT_LAUNCHER = "dagster._core.launcher.default_run_launcher"
_LAUNCHER = "dagster._core.instance.methods.run_launcher_methods"


@dataclass(frozen=True)
class Failpoint:
    """A place to die.

    `when` is before or after `function` of `module`; `role` the only kind of process that dies there, if not empty.
    `where` must occur in the arguments; so many fitting calls as `skip` says are let pass. `needs` is what must be sent
    to get there.
    """

    name: str
    module: str
    function: str
    when: str
    role: str = ""
    where: str = ""
    skip: int = 0
    needs: str = "songs"

    @property
    def stage(self) -> str:
        """The part of the way of an upload that it belongs to."""
        return self.name.split(".", maxsplit=1)[0]


FAILPOINTS = (
    Failpoint("upload.parts-begun", "musicfp.store.objects", "ObjectStore.start_multipart", "after", needs="parts"),
    Failpoint("upload.ticket-unanswered", "musicfp.store.objects", "ObjectStore.presign_put", "before", role="api"),
    Failpoint("upload.parts-joined", "musicfp.store.objects", "ObjectStore.complete_multipart", "after", needs="parts"),
    Failpoint("discovery.listed", f"{PIPELINE}.discovery", "_record", "before"),
    Failpoint("discovery.uncommitted", "musicfp.catalog.submissions", "record_received", "after"),
    Failpoint("discovery.recorded", "musicfp_assets.sensors.submissions", "_arrivals", "before", where="['0"),
    Failpoint("tick.arrival-recorded", _INSTANCE, "DagsterInstance.report_runless_asset_event", "after", role="daemon"),
    Failpoint("tick.partition-added", _INSTANCE, "DagsterInstance.add_dynamic_partitions", "after", role="daemon"),
    Failpoint("tick.run-created", _LAUNCHER, "RunLauncherMethods.submit_run", "before", role="daemon"),
    Failpoint("tick.run-queued", _LAUNCHER, "RunLauncherMethods.submit_run", "after", role="daemon"),
    Failpoint("tick.run-dequeued", _DEFAULT_LAUNCHER, "DefaultRunLauncher.launch_run", "after", role="daemon"),
    Failpoint("ingest.begun", f"{PIPELINE}.ingest", "_examine", "before"),
    Failpoint("ingest.downloaded", f"{PIPELINE}.inspection", "InspectionPool.inspect", "before"),
    Failpoint("ingest.inspecting", f"{PIPELINE}.inspection", "inspect_file", "before"),
    Failpoint("ingest.inspected", f"{PIPELINE}.judgement", "Judge.judge", "before"),
    Failpoint("ingest.judged", f"{PIPELINE}.ingest", "_accept", "before"),
    Failpoint("ingest.source-stored", "musicfp.store.objects", "ObjectStore.put_file", "after", where="sources/"),
    Failpoint("ingest.lock-held", f"{PIPELINE}.judgement", "Judge.is_outdated", "before"),
    Failpoint("ingest.uncommitted", "musicfp.catalog.acceptance", "accept", "after"),
    Failpoint("ingest.accepted", f"{PIPELINE}.ingest", "_accept", "after"),
    Failpoint("ingest.duplicate-found", f"{PIPELINE}.ingest", "_conclude", "after"),
    Failpoint("ingest.rejected", f"{PIPELINE}.ingest", "_decide_failed", "after"),
    Failpoint("ingest.between-events", "musicfp_assets.assets.ingest", "_event", "before", skip=1),
    Failpoint("ingest.events-recorded", _INSTANCE, "DagsterInstance.add_dynamic_partitions", "before", role="worker"),
    Failpoint("ingest.track-added", _INSTANCE, "DagsterInstance.add_dynamic_partitions", "after", role="worker"),
    Failpoint("ingest.all-decided", f"{PIPELINE}.ingest", "forget_decided_objects", "before"),
    Failpoint("ingest.upload-deleted", "musicfp.catalog.submissions", "mark_object_gone", "before"),
    Failpoint("ingest.all-deleted", f"{PIPELINE}.ingest", "forget_decided_objects", "after"),
    Failpoint("transcode.downloaded", f"{PIPELINE}.transcoding", "download_source", "after"),
    Failpoint("transcode.encoded", f"{PIPELINE}.transcoding", "verify_transcodes", "before"),
    Failpoint("transcode.verified", f"{PIPELINE}.transcoding", "_store_files", "before"),
    Failpoint("transcode.one-stored", "musicfp.store.objects", "ObjectStore.put_file", "after", where="transcodes/"),
    Failpoint("transcode.all-stored", f"{PIPELINE}.transcoding", "_store_files", "after"),
    Failpoint("transcode.uncommitted", "musicfp.catalog.derivations", "mark_done", "after", where="transcode_"),
    Failpoint("transcode.done", f"{PIPELINE}.transcoding", "_make", "after"),
    Failpoint("transcode.between-events", "musicfp_assets.assets.transcodes", "materialized", "before", skip=1),
    Failpoint("features.downloaded", f"{PIPELINE}.analysis", "download_source", "after"),
    Failpoint("features.analysing", "musicfp.features.worker", "analyse_file", "before"),
    Failpoint("features.analysed", f"{PIPELINE}.analysis", "_store", "before"),
    Failpoint("features.uncommitted", "musicfp.catalog.derivations", "mark_done", "after", where="feature_"),
    Failpoint("features.done", f"{PIPELINE}.analysis", "_store", "after"),
    Failpoint("features.between-events", "musicfp_assets.assets.features", "materialized", "before", skip=1),
    Failpoint("review.uncommitted", "musicfp.catalog.submissions", "reopen", "after", role="api", needs="review"),
    Failpoint("review.decided", f"{PIPELINE}.reviews", "review_submission", "after", role="api", needs="review"),
    Failpoint("retry.uncommitted", "musicfp.catalog.submissions", "reopen", "after", role="api", needs="retry"),
    Failpoint("retry.reopened", f"{PIPELINE}.reviews", "retry_submission", "after", role="api", needs="retry"),
    Failpoint(
        "expiry.parts-aborted", "musicfp.store.objects", "ObjectStore.abort_multipart", "after", needs="abandoned"
    ),
    Failpoint("expiry.uncommitted", f"{PIPELINE}.uploads", "utc_now", "after", role="code-server", needs="abandoned"),
    Failpoint("expiry.begun", f"{PIPELINE}.expiry", "expire_old_submissions", "before", needs="old"),
    Failpoint("expiry.object-deleted", "musicfp.catalog.submissions", "mark_object_gone", "before", needs="old"),
)


class Arsenal:
    """The folder through which a running product is told where to die."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("armed", "hit"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "failpoints.json").write_text(json.dumps([asdict(each) for each in FAILPOINTS]))

    def environment(self) -> dict[str, str]:
        """Return what the product's processes need to find it."""
        injected = Path(__file__).parent / "inject"
        return {"MUSICFP_CHAOS_FOLDER": str(self._folder), "PYTHONPATH": str(injected)}

    def arm(self, point: Failpoint) -> None:
        """Have the next process that comes by a place die there."""
        (self._folder / "hit" / point.name).unlink(missing_ok=True)
        (self._folder / "armed" / point.name).touch()

    def disarm(self, point: Failpoint) -> None:
        """Let everybody pass."""
        (self._folder / "armed" / point.name).unlink(missing_ok=True)

    def was_hit(self, point: Failpoint) -> bool:
        """Whether a process has died there since it was armed."""
        return (self._folder / "hit" / point.name).exists()


def named(words: Iterable[str]) -> Iterator[Failpoint]:
    """Yield the failpoints whose name begins with one of these words, all if there is none."""
    wanted = tuple(words)
    yield from (each for each in FAILPOINTS if not wanted or each.name.startswith(wanted))
