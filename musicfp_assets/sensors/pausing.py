"""What every sensor does while work cannot be done: nothing, and says why.

A tick that fails would say as much with a stack trace every few seconds, and a run that is bound to fail costs two CPU
seconds each time. The reason is the tick's; whoever looks at the sensor sees it.
"""

from collections.abc import Callable

import dagster as dg
from sqlalchemy.exc import OperationalError

from musicfp.errors import StoreUnavailable
from musicfp.pipeline.pauses import first_line
from musicfp_assets.resources import MusicfpResource

Tick = dg.SensorResult | dg.RunRequest | dg.SkipReason


def unless_paused(musicfp: MusicfpResource, tick: Callable[[], Tick]) -> Tick:
    """Evaluate a sensor, or skip: while store, database or disk are not fit, and when one of them fails in between."""
    pause = musicfp.pause()
    if pause is not None:
        return _skip(pause.part, pause.message)
    try:
        return tick()
    except StoreUnavailable as error:
        return _skip("objectStore", str(error))
    except OperationalError as error:
        return _skip("database", first_line(error))


def _skip(part: str, message: str) -> dg.SkipReason:
    return dg.SkipReason(f"paused, {part}: {message}")
