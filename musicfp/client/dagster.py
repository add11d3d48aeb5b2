"""Backfills through the GraphQL API of the Dagster webserver.

What belongs here: launching the backfill of one asset of the tracks and reading how far it is. What does not: importing
Dagster; the command line starts in a fraction of the time without it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from musicfp.client.http import Json, Service
from musicfp.errors import InvalidRequest, RequestFailed
from musicfp.settings import Settings

ASSET_PREFIX = "feature_"
DERIVE_GROUP = "derive"
POLL_S = 2.0
_DONE = frozenset({"COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"})

_ASSETS = "query { assetNodes { assetKey { path } groupName } }"
_LAUNCH = """
mutation Launch($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on Error { message }
  }
}
"""
_FOLLOW = """
query Follow($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on PartitionBackfill {
      status
      error { message }
      assetBackfillData {
        assetBackfillStatuses {
          ... on AssetPartitionsStatusCounts {
            numPartitionsTargeted numPartitionsMaterialized numPartitionsFailed
          }
        }
      }
    }
    ... on Error { message }
  }
}
"""


@dataclass(frozen=True)
class BackfillState:
    """How far a backfill is, in tracks. `n_targeted` is 0 until the daemon has looked at it."""

    backfill_id: str
    status: str
    n_targeted: int = 0
    n_done: int = 0
    n_failed: int = 0
    error: str | None = None

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in _DONE

    @property
    def ok(self) -> bool:
        """Whether the asset was made for every track."""
        return self.status in {"COMPLETED", "COMPLETED_SUCCESS"} and not self.n_failed


def open_dagster(settings: Settings, *, transport: httpx.BaseTransport | None = None) -> Service:
    """Return a connection to the Dagster webserver of `musicfp up`; nothing is sent yet."""
    return Service(
        f"http://127.0.0.1:{settings.dagster_port}",
        name="The Dagster webserver",
        hint="Start it with `musicfp up`; its port is MUSICFP_DAGSTER_PORT.",
        transport=transport,
    )


def assets_by_name(dagster: Service) -> dict[str, str]:
    """Return the assets of the tracks by what people call them: features by extractor, others by their own name."""
    nodes = dagster.graphql(_ASSETS)["assetNodes"]
    assets = sorted("/".join(node["assetKey"]["path"]) for node in nodes if node["groupName"] == DERIVE_GROUP)
    return {asset.removeprefix(ASSET_PREFIX): asset for asset in assets}


def launch_backfill(dagster: Service, name: str) -> str:
    """Ask for one asset of all tracks, and return the id of the backfill. Raises InvalidRequest for a wrong name."""
    known = assets_by_name(dagster)
    if name not in known:
        names = ", ".join(known) or "none, so its code location did not load"
        raise InvalidRequest("unknown_asset", f"There is no {name} that tracks could have. Known are: {names}.")
    params = {
        "assetSelection": [{"path": [known[name]]}],
        "allPartitions": True,
        "title": f"musicfp backfill {name}",
    }
    answer = dagster.graphql(_LAUNCH, {"params": params})["launchPartitionBackfill"]
    if "backfillId" not in answer:
        raise RequestFailed(f"Dagster did not launch the backfill of {name}: {_message(answer)}")
    return str(answer["backfillId"])


def find_backfill(dagster: Service, backfill_id: str) -> BackfillState:
    """Return how far a backfill is."""
    answer = dagster.graphql(_FOLLOW, {"id": backfill_id})["partitionBackfillOrError"]
    if "status" not in answer:
        raise RequestFailed(f"Dagster does not know backfill {backfill_id}: {_message(answer)}")
    data = answer["assetBackfillData"] or {"assetBackfillStatuses": []}
    counts = next((each for each in data["assetBackfillStatuses"] if "numPartitionsTargeted" in each), None)
    return BackfillState(
        backfill_id=backfill_id,
        status=answer["status"],
        n_targeted=counts["numPartitionsTargeted"] if counts else 0,
        n_done=counts["numPartitionsMaterialized"] if counts else 0,
        n_failed=counts["numPartitionsFailed"] if counts else 0,
        error=answer["error"]["message"].strip() if answer["error"] else None,
    )


def follow_backfill(
    dagster: Service,
    backfill_id: str,
    *,
    on_state: Callable[[BackfillState], None],
    pause: Callable[[float], None] = time.sleep,
) -> BackfillState:
    """Report the state again and again until the backfill has finished, and return the last one."""
    while True:
        state = find_backfill(dagster, backfill_id)
        on_state(state)
        if state.is_finished:
            return state
        pause(POLL_S)


def _message(answer: Json) -> str:
    return str(answer.get("message") or answer.get("__typename", "no reason was given")).strip()
