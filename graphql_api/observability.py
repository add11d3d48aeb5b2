"""What the API tells Prometheus: counters, timings and sizes, with labels of few values only.

What belongs here: the metrics and the label of a GraphQL operation. What does not: logging of errors (`errors`).
Label values never come from a client: an operation is named after the schema's root field, not after its own name.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphql import FieldNode, get_operation_ast
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from strawberry.extensions import SchemaExtension
from strawberry.types import ExecutionContext

from musicfp.catalog.derivations import NOT_MADE
from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import SUBMISSION_STATUSES
from musicfp.pipeline.shared_index import IndexStatus
from musicfp.store.notifications import QueueStatus

if TYPE_CHECKING:
    from graphql_api.context import RequestContext

INVALID_OPERATION = "graphql invalid"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_CANDIDATES = (0, 10, 30, 100, 300, 1000, 3000, 10_000)


@dataclass(frozen=True)
class CatalogueCounts:
    """What is counted in the catalogue whenever Prometheus asks."""

    n_tracks: int
    submissions: Mapping[str, int]
    derivations: Mapping[str, int]
    oldest_waiting_s: float
    oldest_deletion_s: float


class Metrics:
    """All metrics of one application, in a registry of its own, so that two applications in a process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.request_seconds = Histogram(
            "musicfp_request_seconds",
            "Time to answer a request, by HTTP route or GraphQL root field.",
            ["operation"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.errors = Counter(
            "musicfp_errors", "Errors answered to clients, by code.", ["code"], registry=self.registry
        )
        self.loader_batches = Counter(
            "musicfp_loader_batches", "Batches loaded from the database.", ["loader"], registry=self.registry
        )
        self.loader_items = Counter(
            "musicfp_loader_items", "Keys in those batches.", ["loader"], registry=self.registry
        )
        self.search_seconds = Histogram(
            "musicfp_search_seconds", "Time of one search.", buckets=_SECONDS, registry=self.registry
        )
        self.search_candidates = Histogram(
            "musicfp_search_candidates_examined",
            "Candidates verified in one search.",
            buckets=_CANDIDATES,
            registry=self.registry,
        )
        self.search_index_lag = Gauge(
            "musicfp_search_index_lag_fingerprints",
            "Fingerprints that are newer than the newest build of the search accelerator.",
            registry=self.registry,
        )
        self.search_index_age = Gauge(
            "musicfp_search_index_build_age_seconds",
            "Age of the newest build of the search accelerator; -1 without one.",
            registry=self.registry,
        )
        self.search_index_is_open = Gauge(
            "musicfp_search_index_open",
            "1 if this process searches with the newest build, 0 if with an older one or the database alone.",
            registry=self.registry,
        )
        self.notifications = Gauge(
            "musicfp_notifications",
            "Messages in the queue of the bucket's notifications, approximately; NaN if unknown.",
            ["state"],
            registry=self.registry,
        )
        self.catalogue_tracks = Gauge("musicfp_catalogue_tracks", "Accepted tracks.", registry=self.registry)
        self.submissions = Gauge("musicfp_submissions", "Submissions by status.", ["status"], registry=self.registry)
        self.oldest_waiting = Gauge(
            "musicfp_oldest_waiting_seconds",
            "Time since the file of the oldest submission without a verdict arrived; 0 without one.",
            registry=self.registry,
        )
        self.oldest_deletion = Gauge(
            "musicfp_oldest_deletion_seconds",
            "Time since the oldest deletion was asked for of which something is left to remove; 0 without one.",
            registry=self.registry,
        )
        self.derivations = Gauge(
            "musicfp_derivations", "Assets of tracks that are not made, by status.", ["status"], registry=self.registry
        )
        self.ready = Gauge(
            "musicfp_ready",
            "1 if this part is ready, 0 if not; the parts of /readyz.",
            ["part"],
            registry=self.registry,
        )
        self.disk_free = Gauge("musicfp_disk_free_bytes", "Room on the disk of MUSICFP_HOME.", registry=self.registry)

    def counted(self, counts: "CatalogueCounts | None") -> None:
        """Take over what was counted in the catalogue; None, and all of it is unknown, when it could not be."""
        unknown = float("nan")
        self.catalogue_tracks.set(counts.n_tracks if counts else unknown)
        self.oldest_waiting.set(counts.oldest_waiting_s if counts else unknown)
        self.oldest_deletion.set(counts.oldest_deletion_s if counts else unknown)
        for status in SUBMISSION_STATUSES:
            self.submissions.labels(status).set(counts.submissions.get(status, 0) if counts else unknown)
        for status in NOT_MADE:
            self.derivations.labels(status).set(counts.derivations.get(status, 0) if counts else unknown)

    def found_ready(self, problems: Mapping[str, str | None]) -> None:
        """Take over what was found out about each part."""
        for part, problem in problems.items():
            self.ready.labels(part).set(problem is None)

    def indexed(self, status: IndexStatus) -> None:
        """Take over how the search accelerator stands."""
        age_s = (utc_now() - status.created_at).total_seconds() if status.created_at else -1.0
        self.search_index_lag.set(status.lag_fingerprints)
        self.search_index_age.set(age_s)
        self.search_index_is_open.set(status.build_id is not None and status.open_build_id == status.build_id)

    def queued(self, status: QueueStatus | None) -> None:
        """Take over how the queue of notifications stands; without one there is nothing to tell."""
        if status is None:
            return
        counts = {
            "waiting": status.n_waiting,
            "in_flight": status.n_in_flight,
            "dead_letter": status.n_dead_letters if status.has_dead_letter_queue else None,
        }
        for state, count in counts.items():
            self.notifications.labels(state).set(math.nan if count is None else count)

    @contextmanager
    def timed(self, operation: str) -> Iterator[None]:
        """Measure the block as one request."""
        began_s = time.perf_counter()
        try:
            yield
        finally:
            self.request_seconds.labels(operation).observe(time.perf_counter() - began_s)

    def loaded(self, loader: str, n_items: int) -> None:
        """Count one batch of a loader."""
        self.loader_batches.labels(loader).inc()
        self.loader_items.labels(loader).inc(n_items)

    def searched(self, *, took_ms: float, candidates_examined: int) -> None:
        """Count one search."""
        self.search_seconds.observe(took_ms / 1000)
        self.search_candidates.observe(candidates_examined)


class OperationTimer(SchemaExtension):
    """Times each GraphQL operation under the name of its root field. Made anew for each request."""

    _is_valid = False

    def on_operation(self) -> Iterator[None]:
        """Measure from before parsing to after execution."""
        context: RequestContext = self.execution_context.context
        began_s = time.perf_counter()
        yield
        # Only in a valid document are the field names those of the schema.
        if self._is_valid:
            context.operation = _label(self.execution_context)
        context.services.metrics.request_seconds.labels(context.operation).observe(time.perf_counter() - began_s)

    def on_validate(self) -> Iterator[None]:
        """Notice whether the document is valid."""
        yield
        self._is_valid = not self.execution_context.pre_execution_errors


def _label(execution: ExecutionContext) -> str:
    document = execution.graphql_document
    operation = get_operation_ast(document, execution.operation_name) if document else None
    if operation is None:
        return INVALID_OPERATION
    fields = {node.name.value if isinstance(node, FieldNode) else "..." for node in operation.selection_set.selections}
    return f"graphql {fields.pop()}" if fields != {"..."} and len(fields) == 1 else "graphql several"
