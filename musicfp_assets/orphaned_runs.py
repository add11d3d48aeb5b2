"""Keeps a code server looking for dead run workers, whatever happens to Dagster's storage meanwhile.

A thread of Dagster's code server looks twice a second which run workers have died, and reports their runs as failed. An
error of the storage while it does so (a disk without room, a database that restarts) ends that thread: from then on the
server takes every worker for alive, so nobody fails the runs of those that die, and their stages wait for ever.

What belongs here: that thread. What does not: workers that died together with their server (`sensors.dead_runs`).
"""

import logging
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

_SERVER_MODULE = "dagster._grpc.server"
_LOOK = "_check_for_orphaned_runs"
_log = logging.getLogger(__name__)


def keep_looking() -> None:
    """Let the code server of this process look again after an error; nothing where there is no code server."""
    server = sys.modules.get(_SERVER_MODULE)  # imported by nobody else, and slow to import
    if server is not None and not hasattr(getattr(server.DagsterApiServer, _LOOK), "__wrapped__"):
        setattr(server.DagsterApiServer, _LOOK, _looking_again(getattr(server.DagsterApiServer, _LOOK)))


def _looking_again(look: Callable[[Any], None]) -> Callable[[Any], None]:
    @wraps(look)
    def look_or_say_why_not(server: object) -> None:
        try:
            look(server)
        except Exception as error:  # whatever it was, the next look may succeed
            _log.warning("Cannot tell yet which run workers have died: %s", error)

    return look_or_say_why_not
