"""What `submission_sensor` hears from the queue of the bucket's notifications, and how the queue is watched.

What belongs here: the queue as a tick and an asset check see it. What does not: taking messages
(`musicfp.pipeline.notified`).
"""

from dataclasses import dataclass

import dagster as dg

from musicfp.errors import MusicfpError
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.notified import take_notifications
from musicfp.store.notifications import QueueStatus
from musicfp_assets.assets.ingest import SUBMISSION
from musicfp_assets.resources import MusicfpResource

# With notifications, the whole bucket is listed only this often: for files that nobody spoke of.
RECONCILE_INTERVAL_S = 600
# How often a tick counts the messages, dead letters among them.
WATCH_INTERVAL_S = 60
NOTIFICATIONS_DELIVERED = "notifications_delivered"


@dataclass(frozen=True)
class Heard:
    """What a tick took from the queue, as a sentence too. `problem` is set if the queue did not answer."""

    submission_ids: tuple[str, ...]
    summary: str
    is_news: bool = False
    problem: str | None = None


def hear(musicfp: MusicfpResource, stage: StageContext) -> Heard | None:
    """Take what the queue holds; None if no queue is configured."""
    if stage.settings.sqs_queue_url is None:
        return None
    try:
        queue = musicfp.queue()
    except MusicfpError as error:
        return _unheard((), str(error))
    taken = take_notifications(stage.database, stage.store, stage.settings, queue)
    if taken.problem is not None:
        return _unheard(taken.submission_ids, taken.problem)
    return Heard(taken.submission_ids, str(taken), is_news=taken.n_messages > 0)


def queue_status(musicfp: MusicfpResource) -> QueueStatus:
    """Return the queue's status; never raises."""
    try:
        return musicfp.queue().status()
    except MusicfpError as error:
        return QueueStatus(problem=str(error))


def finding(status: QueueStatus) -> str | None:
    """Return what is wrong with the queue, None if nothing is."""
    if status.problem is not None:
        return status.problem
    if status.n_dead_letters:
        return (
            f"{status.n_dead_letters} messages in the dead letter queue. Their files, if any, are found by listing the "
            "bucket; look at the messages for the reason."
        )
    return None


def evaluation(status: QueueStatus) -> dg.AssetCheckEvaluation:
    """Return the queue's status as the outcome of the check, to be recorded outside a run."""
    found = finding(status)
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(SUBMISSION),
        check_name=NOTIFICATIONS_DELIVERED,
        passed=found is None,
        metadata=_metadata(status),
        severity=dg.AssetCheckSeverity.WARN,
        description=found,
    )


@dg.asset_check(
    asset=SUBMISSION,
    name=NOTIFICATIONS_DELIVERED,
    description="The queue of the bucket's notifications answers and has no dead letters. `submission_sensor` looks "
    "every minute and records changes.",
)
def notifications_delivered(musicfp: MusicfpResource) -> dg.AssetCheckResult:
    """Ask the queue."""
    status = queue_status(musicfp)
    found = finding(status)
    return dg.AssetCheckResult(
        passed=found is None, severity=dg.AssetCheckSeverity.WARN, description=found, metadata=_metadata(status)
    )


def _unheard(submission_ids: tuple[str, ...], problem: str) -> Heard:
    return Heard(submission_ids, f"{problem} The bucket was listed instead.", problem=problem)


def _metadata(status: QueueStatus) -> dict[str, int | bool]:
    counts = {
        "waiting": status.n_waiting,
        "in_flight": status.n_in_flight,
        "dead_letters": status.n_dead_letters,
        "has_dead_letter_queue": status.has_dead_letter_queue,
    }
    return {name: count for name, count in counts.items() if count is not None}
