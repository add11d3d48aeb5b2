"""A running fake of the API and of its object store."""

from collections.abc import Iterator

import fake_service
import pytest
from fake_service import FakeService


@pytest.fixture
def service() -> Iterator[FakeService]:
    fake = FakeService()
    server = fake_service.start(fake)
    yield fake
    server.shutdown()
    server.server_close()
