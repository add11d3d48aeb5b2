"""`dead_runs_sensor`: ends runs whose worker is gone and that nobody else will end.

A code server tells Dagster of a run worker that died, as long as it lives itself. When both are gone at once, as after
a power failure, a run stays STARTED for ever, and one that was just being launched stays STARTING until the start
timeout; each holds up its stage, in which one run works at a time. Run monitoring asks only launchers that can tell
whether a worker lives, as those of a cluster can. The default launcher, which starts workers from the code server,
cannot; so the server that a run was given to is asked here.

What belongs here: finding such runs and failing them. What does not: doing their work again (the stages' sensors) and
recording what they had done (`lost_events`).
"""

import json
import time
from collections.abc import Iterable, Mapping

import dagster as dg
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import GetCurrentRunsResult
from dagster._serdes import deserialize_value

TICK_INTERVAL_S = 15
# A run is STARTING before its code server is told of it, and a server that is just being started again answers nobody.
DEAD_AFTER_S = 45.0
_MAYBE_DEAD = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


@dg.sensor(
    name="dead_runs_sensor",
    minimum_interval_seconds=TICK_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fails runs that no code server works on any more, so that their stage goes on.",
)
def dead_runs_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Look at all runs that should have a worker, and fail those that had none at every look for a while."""
    instance, now_s = context.instance, time.time()
    if not isinstance(instance.run_launcher, DefaultRunLauncher):
        return dg.SensorResult(skip_reason="The run launcher of this instance watches over its workers by itself.")
    here = context.code_location_origin.location_name if context.code_location_origin is not None else None
    missed_since_s = _without_worker(instance, _parse(context.cursor), now_s, here=here)
    dead = [run_id for run_id, since_s in missed_since_s.items() if now_s - since_s >= DEAD_AFTER_S]
    for run_id in dead:
        _fail(instance, run_id)
    return dg.SensorResult(cursor=json.dumps({each: missed_since_s[each] for each in missed_since_s.keys() - dead}))


def _without_worker(
    instance: dg.DagsterInstance, missed_since_s: Mapping[str, float], now_s: float, *, here: str | None
) -> dict[str, float]:
    """Return since when (Unix time) each run has been without a worker at every look, this one included.

    Only runs of the code location `here`, if it is known: servers of others may be out of our reach.
    """
    may_be_dead = instance.get_runs(dg.RunsFilter(statuses=_MAYBE_DEAD))
    runs = [run for run in may_be_dead if here is None or _location_of(run) in {here, None}]
    working = _working({run.tags[GRPC_INFO_TAG] for run in runs if GRPC_INFO_TAG in run.tags})
    return {run.run_id: missed_since_s.get(run.run_id, now_s) for run in runs if run.run_id not in working}


def _location_of(run: dg.DagsterRun) -> str | None:
    origin = run.remote_job_origin
    return None if origin is None else origin.repository_origin.code_location_origin.location_name


def _working(servers: Iterable[str]) -> set[str]:
    """Return the runs that these code servers have a worker for. One that does not answer has none."""
    working: set[str] = set()
    for server in servers:
        address = json.loads(server)
        client = DagsterGrpcClient(
            port=address.get("port"),
            socket=address.get("socket"),
            host=address.get("host", "localhost"),
            use_ssl=bool(address.get("use_ssl", False)),
        )
        try:
            answer = deserialize_value(client.get_current_runs(), GetCurrentRunsResult)
        except dg.DagsterError:  # unreachable, or restarted at another address
            continue
        working.update(answer.current_runs)
    return working


def _fail(instance: dg.DagsterInstance, run_id: str) -> None:
    """Fail a run that is not over yet; who is told again that it failed, fails nothing twice."""
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status in _MAYBE_DEAD:
        instance.report_run_failed(
            run,
            f"No code server has had a worker for this run for {DEAD_AFTER_S:.0f} s: it was killed together with its "
            "server. What it had not done yet is asked for again by the sensor of its stage.",
        )


def _parse(cursor: str | None) -> dict[str, float]:
    """Read a stored cursor; one that cannot be read starts over, which costs time and loses nothing."""
    try:
        return {str(run_id): float(since_s) for run_id, since_s in json.loads(cursor or "{}").items()}
    except (TypeError, ValueError, AttributeError):
        return {}
