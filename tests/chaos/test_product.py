"""The short part of the chaos run that every `make test` has: some places of each stage, and some kills at random."""

from pathlib import Path

import pytest

from tests.chaos.__main__ import main
from tests.chaos.failpoints import FAILPOINTS, named

POINTS = ("discovery.uncommitted", "tick.run-created", "ingest.accepted", "transcode.one-stored", "features.done")


def test_every_place_has_a_name_of_its_own() -> None:
    """A misspelt one would run all of them, or none."""
    assert len({each.name for each in FAILPOINTS}) == len(FAILPOINTS)
    assert [each.name for each in named(POINTS)] == list(POINTS)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_product_that_is_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    """Between two effects of each stage, all at once, and three times at random."""
    short = [
        "--kills",
        "3",
        "--power-failures",
        "1",
        "--rest-after-points",
        "5",
        "--folder",
        str(tmp_path),
        "--failpoints",
        *POINTS,
    ]
    assert main(short) == 0
