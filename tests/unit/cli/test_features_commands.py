"""`musicfp features` and `musicfp similar`, against a service that checks what it is asked."""

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from musicfp.cli.main import main
from tests.support.fake_service import FakeService

Run = Callable[..., Result]
COVERAGE = {
    "extractor": "timbre",
    "version": "2",
    "trackCount": 10_000,
    "doneCount": 9_999,
    "pendingCount": 1,
    "failedCount": 0,
    "outdatedCount": 1,
    "share": 0.9999,
    "versions": [{"version": "2", "trackCount": 9_999}, {"version": "1", "trackCount": 1}],
}
SIMILAR = [{"distance": 0.1234, "track": {"id": "B", "title": "Blue Kettle", "artist": "The Pots"}}]


@pytest.fixture
def run(service: FakeService) -> Run:
    return lambda *arguments: CliRunner().invoke(main, [*arguments, "--api-url", service.url])


def test_coverage_is_a_table_that_never_rounds_up(run: Run, service: FakeService) -> None:
    """One track of ten thousand is missing: that is not 100 %."""
    service.answers["FeatureCoverage"] = {"featureCoverage": [COVERAGE]}
    result = run("features")
    assert result.exit_code == 0
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["EXTRACTOR", "VERSION", "DONE", "PENDING", "FAILED", "OLDER", "COVERAGE"],
        ["timbre", "2", "9999", "1", "0", "1", "99.9", "%"],
    ]
    assert json.loads(run("features", "--json").stdout) == [COVERAGE]


def test_similar_tracks_are_listed_with_their_distance(run: Run, service: FakeService) -> None:
    service.answers["Similar"] = {"track": {"similar": SIMILAR}}
    result = run("similar", "A", "--first", "3")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split() == ["0.123", "B", "The", "Pots", "Blue", "Kettle"]
    assert json.loads(run("similar", "A", "--json").stdout) == SIMILAR


def test_no_similar_track_is_an_answer_and_an_unknown_one_an_error(run: Run, service: FakeService) -> None:
    service.answers["Similar"] = {"track": {"similar": []}}
    result = run("similar", "A")
    assert result.exit_code == 0
    assert "musicfp track ID" in result.stderr
    service.answers["Similar"] = {"track": None}
    result = run("similar", "A")
    assert result.exit_code == 1
    assert "no track A" in result.stderr
    assert run("similar", "A", "--first", "0").exit_code == 2
