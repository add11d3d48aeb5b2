"""How the queue of the bucket's notifications stands, for `/readyz` and `/metrics`.

Never a reason not to be ready: while the queue is away, the bucket is listed.
"""

import time

import anyio

from musicfp.errors import MusicfpError
from musicfp.settings import Settings
from musicfp.store.notifications import NotificationQueue, QueueStatus, open_queue

# Each look is three requests, which cost money at AWS.
_KEEP_S = 15.0
_TIMEOUT_S = 3.0


class QueueWatch:
    """Counts the queue's messages, at most once in fifteen seconds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue: NotificationQueue | None = None
        self._asking = anyio.Lock()
        self._kept = QueueStatus()
        self._keep_until_s = 0.0

    async def status(self) -> QueueStatus | None:
        """Return how the queue stands, None if none is configured."""
        if self._settings.sqs_queue_url is None:
            return None
        async with self._asking:
            if time.monotonic() >= self._keep_until_s:
                self._kept = await self._ask_in_time()
                self._keep_until_s = time.monotonic() + _KEEP_S
            return self._kept

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._queue is not None:
            self._queue.client.close()

    async def _ask_in_time(self) -> QueueStatus:
        try:
            with anyio.fail_after(_TIMEOUT_S):
                return await anyio.to_thread.run_sync(self._ask, abandon_on_cancel=True)
        except TimeoutError:
            return QueueStatus(problem=f"SQS did not answer within {_TIMEOUT_S:.0f} s.")

    def _ask(self) -> QueueStatus:
        try:
            self._queue = self._queue or open_queue(
                self._settings, max_attempts=1, connect_timeout_s=_TIMEOUT_S, read_timeout_s=_TIMEOUT_S
            )
        except MusicfpError as error:
            return QueueStatus(problem=str(error))
        return self._queue.status()
