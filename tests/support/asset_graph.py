"""The asset graph as text, so that a change of it is seen in review.

`python -m tests.support.asset_graph` writes it anew after an intended change.
"""

from pathlib import Path

import dagster as dg

from musicfp.features.registry import load_builtin
from musicfp.settings import Settings
from musicfp_assets.definitions import build_definitions

SNAPSHOT = Path(__file__).parents[1] / "dagster" / "asset_graph.txt"


def describe(definitions: dg.Definitions) -> str:
    """Return one block per asset, sorted by key, then jobs, sensors and schedules."""
    specs = sorted(definitions.resolve_all_asset_specs(), key=lambda spec: spec.key)
    blocks = [_block(spec) for spec in specs]
    names = [
        f"job {job.name}: {job.description}"
        for job in sorted(definitions.resolve_all_job_defs(), key=lambda job: job.name)
        if not job.name.startswith("__")
    ]
    names += [f"sensor {each.name} every {each.minimum_interval_seconds} s" for each in definitions.sensors or ()]
    names += [f"schedule {each.name} {each.cron_schedule}" for each in definitions.schedules or ()]  # type: ignore[union-attr]
    return "\n\n".join([*blocks, "\n".join(names)]) + "\n"


def default_definitions() -> dg.Definitions:
    """Return the definitions that an untouched musicfp has."""
    return build_definitions(Settings.from_env({}), load_builtin(()))


def _block(spec: dg.AssetSpec) -> str:
    deps = ", ".join(sorted(dep.asset_key.to_user_string() for dep in spec.deps)) or "-"
    partitions = spec.partitions_def
    lines = [
        spec.key.to_user_string(),
        f"  group: {spec.group_name}",
        f"  deps: {deps}",
        f"  partitions: {partitions.name if isinstance(partitions, dg.DynamicPartitionsDefinition) else '-'}",
        f"  code version: {spec.code_version or '-'}",
        f"  owners: {', '.join(spec.owners)}",
        f"  kinds: {', '.join(sorted(spec.kinds))}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    SNAPSHOT.write_text(describe(default_definitions()))
