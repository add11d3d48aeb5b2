"""Evaluating sensors as the daemon does, and reading what they ask for."""

import dagster as dg

from musicfp_assets.resources import MusicfpResource
from tests.dagster.conftest import Orchestra

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def tick(orchestra: Orchestra, name: str, cursor: str | None = None) -> dg.SensorResult:
    """Evaluate a sensor and add the partitions that it asks for, as the daemon does before it creates runs."""
    sensor = next(each for each in orchestra.definitions.sensors or () if each.name == name)
    resources = {"musicfp": MusicfpResource()}
    with dg.build_sensor_context(instance=orchestra.instance, cursor=cursor, resources=resources) as context:
        result = sensor(context)
    if isinstance(result, dg.SkipReason):
        return dg.SensorResult(skip_reason=result)
    assert isinstance(result, dg.SensorResult)
    for request in result.dynamic_partitions_requests or ():
        if isinstance(request, dg.AddDynamicPartitionsRequest):
            orchestra.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        else:
            for key in request.partition_keys:
                orchestra.instance.delete_dynamic_partition(request.partitions_def_name, key)
    return result


def quiet_tick(orchestra: Orchestra, cursor: str | None = None) -> dg.SensorResult:
    """Evaluate the submission sensor until nothing new comes in, which is when it asks for a run that is not full."""
    first = tick(orchestra, "submission_sensor", cursor)
    return first if first.run_requests else tick(orchestra, "submission_sensor", first.cursor)


def range_of(result: dg.SensorResult) -> tuple[str, str] | None:
    """Return the ends of the range of partitions that a run is asked for, None without one."""
    if not result.run_requests:
        return None
    (request,) = result.run_requests
    return request.tags[RANGE_START], request.tags[RANGE_END]
