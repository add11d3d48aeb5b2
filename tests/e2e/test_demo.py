"""What a newcomer sees: the demo, the demo again, the pages in a browser, a new feature. All on PostgreSQL.

The catalogue and Dagster each have a database of their own there; `test_catalogue` does its work on SQLite.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.browser import rendered
from tests.support.postgres import fresh_database
from tests.support.stack import Stack, running_stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

EXPECTED_STATUSES = {"ACCEPTED", "DUPLICATE", "REJECTED"}
FEATURE_IN_FIVE_LINES = """
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.values import measured

@extractor(name="crest", version="1", description="Peak over RMS.",
           values=(FeatureSpec("dynamics.crest", unit=None, description="Peak over RMS."),))
def crest(audio):
    yield measured("dynamics.crest", float(abs(audio.mono_44k).max() / audio.mono_44k.std()))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that the tests of this module share, one stack after the other."""
    return tmp_path_factory.mktemp("demo") / "home"


@pytest.fixture(scope="module")
def databases(postgres_url_prefix: str) -> Iterator[dict[str, str]]:
    """Settings that name two empty databases."""
    with (
        fresh_database(postgres_url_prefix, "e2e_catalogue") as catalogue,
        fresh_database(postgres_url_prefix, "e2e_dagster") as dagster,
    ):
        yield {
            "MUSICFP_DATABASE_URL": catalogue,
            "MUSICFP_DAGSTER_DATABASE_URL": dagster,
            "MUSICFP_TRANSCODE_PROFILES": "mp3_128,opus_96",  # all five are made in `test_catalogue`
        }


@pytest.fixture(scope="module")
def stack(home: Path, databases: dict[str, str]) -> Iterator[Stack]:
    """A stack on an empty catalogue."""
    with running_stack(home, **databases) as running:
        yield running


def run_demo(stack: Stack) -> dict[str, Any]:
    """Run `musicfp demo` as a person does and return what it prints as JSON."""
    finished = subprocess.run(
        [sys.executable, "-m", "musicfp.cli.main", "demo", "--json"],
        env=stack.env,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-1000:]
    report: dict[str, Any] = json.loads(finished.stdout)
    return report


def ask(stack: Stack, text: str) -> dict[str, Any]:
    """Ask the GraphQL API."""
    answer = httpx.post(f"{stack.api_url}/graphql", json={"query": text}, timeout=60).json()
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data


def test_the_demo_gets_every_verdict_right_and_may_be_repeated(stack: Stack) -> None:
    """Songs are accepted, copies are duplicates, broken files are rejected; a second demo finds its songs there."""
    first = run_demo(stack)
    assert first["ok"], first
    assert {row["verdict"].split()[0] for row in first["files"]} == EXPECTED_STATUSES, first["files"]
    assert run_demo(stack)["ok"]


def test_graphiql_and_dagster_render_without_any_other_host(stack: Stack) -> None:
    """In a browser that resolves no name, GraphiQL has an editor and Dagster shows the asset's partitions."""
    assert "graphiql-query-editor" in rendered(f"{stack.api_url}/graphql")
    dagster = rendered(f"{stack.dagster_url}/assets/fingerprint?view=partitions")
    assert "fingerprint" in dagster
    assert "item_duration_s" in dagster or "Materialized" in dagster


def test_a_feature_of_ones_own_is_an_asset_and_computed_for_all_tracks(
    stack: Stack, home: Path, databases: dict[str, str]
) -> None:
    """Five lines and a restart: the daemon computes the new feature for the whole catalogue, in one run."""
    ask(stack, "{ tracks(first: 1) { totalCount } }")
    modules = home.parent / "modules"
    modules.mkdir()
    (modules / "my_features.py").write_text(FEATURE_IN_FIVE_LINES)
    assert stack.stop() == 0
    ports = {name: value for name, value in stack.env.items() if name.endswith("_PORT")}
    own = {"MUSICFP_FEATURE_MODULES": "my_features", "PYTHONPATH": str(modules)}
    with running_stack(home, **databases, **ports, **own) as restarted:

        def is_computed() -> bool:
            page = ask(
                restarted, '{ tracks(first: 50) { edges { node { feature(name: "dynamics.crest") { status } } } } }'
            )
            values = [edge["node"]["feature"] for edge in page["tracks"]["edges"]]
            return bool(values) and all(value and value["status"] == "OK" for value in values)

        eventually(is_computed, within_s=240, every_s=1.0)
        runs = httpx.post(
            f"{restarted.dagster_url}/graphql",
            json={
                "query": '{ runsOrError(filter: {pipelineName: "feature_job"}, limit: 50) '
                "{ ... on Runs { results { stepKeysToExecute assetSelection { path } } } } }"
            },
            timeout=60,
        ).json()["data"]["runsOrError"]["results"]
        for_crest = [
            run for run in runs if [each["path"] for each in run["assetSelection"] or []] == [["feature_crest"]]
        ]
        assert len(for_crest) == 1, runs
