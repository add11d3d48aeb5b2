"""What tests of several stages start from."""

from collections.abc import Mapping

import pytest

from musicfp.catalog import derivations
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.versions import transcode_versions


@pytest.fixture
def versions(stage: StageContext) -> Mapping[str, str]:
    """The transcode stage's assets, known to the catalogue."""
    found = transcode_versions(stage.settings)
    with stage.database.exclusive() as session:
        derivations.bring_up_to_date(session, found)
    return found
