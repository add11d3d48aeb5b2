"""Deleting what the store keeps for nobody: what a crash, a lost race or a replacement has left. Idempotent.

Leftovers are sources whose submission then was a duplicate, or whose run was killed before its transaction;
transcodes of killed runs; transcodes that newer ones have replaced. (The submission bucket is `expiry`'s business.)

An object is deleted when no row names it and none has for `UNUSED_FOR`: that is long beyond what any run needs from
storing to naming, and beyond the links that were given out to a replaced transcode. Age alone proves nothing, since
the same bytes may be submitted again at this moment: `named_objects` has what makes that harmless.

Files of the search index are the business of the build (`search_index`); objects whose keys are not ours, nobody's.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from musicfp.catalog.engine import utc_now
from musicfp.catalog.object_names import ObjectKind
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.named_objects import delete_unnamed
from musicfp.pipeline.stored_objects import StoredObject, stored_objects
from musicfp.store.objects import ObjectStore
from musicfp.store.probe import make_probe_client

LOGGER = logging.getLogger(__name__)
UNUSED_FOR = timedelta(days=1)


@dataclass
class Reconciliation:
    """What a pass found and did. `n_recent` objects are unnamed too, and too young to be sure; `n_foreign` not ours."""

    n_objects: int = 0
    n_sources_deleted: int = 0
    n_transcodes_deleted: int = 0
    deleted_bytes: int = 0
    n_recent: int = 0
    n_foreign: int = 0


def reconcile(context: StageContext, *, unused_for: timedelta = UNUSED_FOR) -> Reconciliation:
    """Delete orphans.

    Raises StoreUnavailable when the store is slow or away: what is left is found by the next pass.
    """
    unused_since = utc_now() - unused_for
    # While an object is deleted, others wait for the lock: this client does not wait long for the store.
    quick = ObjectStore(make_probe_client(context.settings))
    done = Reconciliation()
    for each in stored_objects(context.database, context.store, context.settings):
        done.n_objects += 1
        if each.kind is None:
            done.n_foreign += 1
        elif not each.is_named and each.kind is not ObjectKind.INDEX_FILE:
            _delete(context, quick, each, done, unused_since=unused_since)
    quick.client.close()
    return done


def _delete(
    context: StageContext, quick: ObjectStore, orphan: StoredObject, done: Reconciliation, *, unused_since: datetime
) -> None:
    if orphan.used_at > unused_since:
        done.n_recent += 1
        return
    key = orphan.info.key
    if not delete_unnamed(context.database, quick, orphan.bucket, key, unused_since=unused_since):
        return
    LOGGER.info("deleted %s/%s (%d bytes): no row names it", orphan.bucket, key, orphan.info.size_bytes)
    done.deleted_bytes += orphan.info.size_bytes
    if orphan.kind is ObjectKind.SOURCE:
        done.n_sources_deleted += 1
    else:
        done.n_transcodes_deleted += 1
