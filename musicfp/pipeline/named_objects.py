"""Objects and the rows that name them: why no row ever names an object that is not there.

Sources and transcodes are stored before the transaction that names them, so a crash leaves objects that no row names.
Deleting those must not hit one whose bytes somebody stores again at this moment, to name it a moment later. So:

- whoever names an object does so in a transaction that holds the catalogue's exclusive lock and sees the object there
  (`require_stored`), or stores it again and begins anew (`until_stored`);
- whoever deletes one does so in a transaction that holds the same lock and sees that no row names it
  (`delete_unnamed`), and for some time has not.

Of the two, whoever has the lock later sees what the earlier one did: the object is gone, or it has a name. (A store
that carries out a deletion long after it failed to answer is beyond this; the deep check would tell.)

What belongs here: these two sides. What does not: finding what nobody names (`reconcile`).
"""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import TypeVar

from musicfp.catalog import object_names
from musicfp.catalog.engine import Database
from musicfp.errors import RetryableError, StoreUnavailable
from musicfp.identity import source_sha256_of_key, track_id_of_transcode_key
from musicfp.store.objects import ObjectStore

# Others wait for the lock meanwhile; a store that has just taken the object answers in milliseconds.
_ANSWERS_WITHIN_S = 10.0
_ATTEMPTS = 3

Result = TypeVar("Result")


class NamedObjectGone(RetryableError):
    """An object that was stored a moment ago is not there any more."""

    code = "object_gone"


def until_stored(store_and_name: Callable[[], Result]) -> Result:
    """Call a function that stores objects and names them in one transaction; again if one was deleted in between."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return store_and_name()
        except NamedObjectGone:
            continue
    return store_and_name()


def require_stored(store: ObjectStore, bucket: str, sizes_bytes: Mapping[str, int], *, prefix: str) -> None:
    """See that these objects, all of whose keys begin with `prefix`, are there with these sizes.

    In `Database.exclusive()`. Raises NamedObjectGone when one is not, StoreUnavailable when the store takes its time.
    """
    if not sizes_bytes:
        return
    found = _answered(lambda: {each.key: each.size_bytes for each in store.list_after(bucket, prefix=prefix)})
    gone = [key for key, size_bytes in sizes_bytes.items() if found.get(key) != size_bytes]
    if gone:
        raise NamedObjectGone(
            f"Stored {bucket}/{gone[0]}, and it is gone before a row names it. It will be stored again."
        )


def delete_unnamed(database: Database, store: ObjectStore, bucket: str, key: str, *, unused_since: datetime) -> bool:
    """Delete a source or transcode that no row has named since this time; return whether it was so.

    `store` must give up soon: whoever accepts a track waits. Raises StoreUnavailable when it does.
    """
    if not (source_sha256_of_key(key) or track_id_of_transcode_key(key)):
        raise ValueError(f"{key} is no key of a source or transcode, so nothing tells whether a row names it.")
    with database.exclusive() as session:
        if object_names.named_among(session, [key]):
            return False
        found = store.stat(bucket, key)
        if found is None:
            return False
        used_at = max([found.last_modified, *object_names.replaced_at(session, [key]).values()])
        if used_at > unused_since:
            return False
        store.delete(bucket, key)
    return True


def _answered(ask: Callable[[], Result]) -> Result:
    """Return what `ask` returns or raises, if it does within the limit; the client itself tries for minutes."""
    answers: SimpleQueue[Result | BaseException] = SimpleQueue()

    def answer() -> None:
        try:
            answers.put(ask())
        except BaseException as error:
            answers.put(error)

    threading.Thread(target=answer, name="store", daemon=True).start()
    try:
        found = answers.get(timeout=_ANSWERS_WITHIN_S)
    except Empty:
        raise StoreUnavailable(
            f"Asked the object store for what was just stored; no answer within {_ANSWERS_WITHIN_S:.0f} s. "
            "It will be tried again."
        ) from None
    if isinstance(found, BaseException):
        raise found
    return found
