"""How many submissions are before one that waits.

One query over all that wait answers it for every one of them, and the answer is kept for some seconds: a client that
follows a thousand uploads asks a thousand times.
"""

import time

import anyio

from graphql_api.services import Services
from musicfp.catalog import submissions

# Looking farther costs more than anybody gains from the exact number.
MAX_PLACES = 10_000
_KEEP_S = 2.0


class WaitingLine:
    """The order in which submissions are taken, as it was at most two seconds ago."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._asking = anyio.Lock()
        self._places: dict[str, int] = {}
        self._keep_until_s = 0.0

    async def n_before(self, submission_id: str) -> int | None:
        """Return how many are taken before this one; None if that is more than MAX_PLACES, or if it came just now."""
        async with self._asking:
            if time.monotonic() >= self._keep_until_s:
                self._places = await self._services.workers.database.run(self._ask)
                self._keep_until_s = time.monotonic() + _KEEP_S
        return self._places.get(submission_id)

    def _ask(self) -> dict[str, int]:
        with self._services.database.read() as session:
            order = submissions.due_for_ingest(session, limit=MAX_PLACES)
        return {submission_id: place for place, submission_id in enumerate(order)}
