"""The musicfp API as Python calls: typed where a decision hangs on the answer, plain JSON where it is only shown.

What belongs here: one function for each operation that the command line needs. What does not: transport (`http`),
GraphQL text (`documents`), the order in which a submission asks them (`submit`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from musicfp.client import documents
from musicfp.client.http import Json, Service
from musicfp.errors import InvalidRequest, NotFound, RequestFailed

# GraphQL's Int is signed and has 32 bits; `sizeBytes` is one.
MAX_SIZE_BYTES = 2**31 - 1
PAGE_ITEMS = 50
START_HINT = "Start it with `musicfp up`, or name another one with --api-url or MUSICFP_API_URL."

WAITING_STATUSES = frozenset({"AWAITING_UPLOAD", "RECEIVED"})


@dataclass(frozen=True)
class Part:
    """One part of a large upload."""

    part_number: int
    url: str
    size_bytes: int


@dataclass(frozen=True)
class Ticket:
    """Permission to upload one file until `expires_at`; with `parts`, in parts. `answer` is what the API sent."""

    submission_id: str
    url: str
    method: str
    headers: tuple[tuple[str, str], ...]
    expires_at: datetime
    parts: tuple[Part, ...]
    answer: Json

    @classmethod
    def from_json(cls, answer: Json) -> "Ticket":
        """Read an `UploadTicket`."""
        return cls(
            submission_id=answer["submissionId"],
            url=answer["url"],
            method=answer["method"],
            headers=tuple((header["name"], header["value"]) for header in answer["headers"]),
            expires_at=datetime.fromisoformat(answer["expiresAt"]),
            parts=tuple(Part(part["partNumber"], part["url"], part["sizeBytes"]) for part in answer.get("parts") or ()),
            answer=answer,
        )


@dataclass(frozen=True)
class SubmissionState:
    """What became of one upload. `answer` is the whole `Submission` as the API sent it."""

    submission_id: str
    status: str
    answer: Json

    @classmethod
    def from_json(cls, answer: Json) -> "SubmissionState":
        """Read a `Submission`."""
        return cls(answer["id"], answer["status"], answer)

    @property
    def is_decided(self) -> bool:
        """Whether waiting longer changes nothing by itself."""
        return self.status not in WAITING_STATUSES

    @property
    def relation(self) -> str | None:
        """How it relates to the track that it duplicates."""
        duplicate_of = self.answer.get("duplicateOf")
        return str(duplicate_of["relation"]) if duplicate_of else None

    @property
    def track(self) -> Json | None:
        """The track that it became, or that it duplicates."""
        duplicate_of = self.answer.get("duplicateOf")
        track: Json | None = duplicate_of["track"] if duplicate_of else self.answer.get("track")
        return track

    @property
    def reason(self) -> str:
        """Why it was not accepted, in one line; empty if it was. Or that the track is gone, where it is."""
        duplicate_of = self.answer.get("duplicateOf")
        if duplicate_of:
            track = duplicate_of["track"]
            return (
                f"{track['artist']} - {track['title']}, score {duplicate_of['score']:.2f}, "
                f"from {duplicate_of['offsetSeconds']:+.1f} s"
            )
        if self.is_track_deleted:
            deletion = self.answer["trackDeletion"]
            return f"track {deletion['trackId']} was deleted on {deletion['requestedAt'][:10]}"
        return " ".join(problem["message"] for problem in self.answer["problems"])

    @property
    def is_track_deleted(self) -> bool:
        """Whether the track that it became or duplicates was deleted: it would be accepted now."""
        return bool(self.answer.get("trackDeletion"))


def open_api(url: str, *, transport: httpx.BaseTransport | None = None) -> Service:
    """Return a connection to the musicfp API; nothing is sent yet."""
    return Service(url, name="The musicfp API", hint=START_HINT, transport=transport)


def require_reachable(api: Service) -> None:
    """Ask for nothing, so that an API that is not there is noticed before work is done for it."""
    api.graphql(documents.NOTHING)


def request_upload(api: Service, *, filename: str, size_bytes: int, submitter: str | None = None) -> Ticket:
    """Ask for permission to upload one file. Raises InvalidRequest with the API's reason."""
    if size_bytes > MAX_SIZE_BYTES:
        raise InvalidRequest("too_large", f"{filename} has {size_bytes} bytes; more than 2 GiB cannot be uploaded.")
    variables = {"filename": filename, "sizeBytes": size_bytes, "submitter": submitter}
    answer = api.graphql(documents.REQUEST_UPLOAD, variables)["requestUpload"]
    _raise_if_invalid(answer)
    return Ticket.from_json(answer)


def complete_upload(api: Service, submission_id: str, etags: Sequence[tuple[int, str]]) -> None:
    """Join the parts of a large upload, given as part number and ETag. Raises InvalidRequest."""
    parts = [{"partNumber": number, "etag": etag} for number, etag in etags]
    variables = {"submissionId": submission_id, "parts": parts}
    _raise_if_invalid(api.graphql(documents.COMPLETE_UPLOAD, variables)["completeUpload"])


def find_submission(api: Service, submission_id: str) -> SubmissionState | None:
    """Return one submission, or None if this API does not know it."""
    answer = api.graphql(documents.SUBMISSION, {"id": submission_id})["submission"]
    return SubmissionState.from_json(answer) if answer else None


def list_submissions(api: Service, *, first: int, after: str | None = None, status: str | None = None) -> Json:
    """Return one page of submissions as a Relay connection."""
    variables = {"first": first, "after": after, "status": status}
    connection: Json = api.graphql(documents.SUBMISSIONS, variables)["submissions"]
    return connection


def list_tracks(api: Service, *, first: int, after: str | None = None, where: Json | None = None) -> Json:
    """Return one page of tracks as a Relay connection; `where` is a `TrackFilter`."""
    connection: Json = api.graphql(documents.TRACKS, {"first": first, "after": after, "filter": where or None})[
        "tracks"
    ]
    return connection


def get_track(api: Service, track_id: str) -> Json:
    """Return everything about one track. Raises NotFound."""
    track: Json | None = api.graphql(documents.TRACK, {"id": track_id})["track"]
    if track is None:
        raise _no_track(track_id)
    return track


def delete_track(api: Service, track_id: str, *, reason: str | None) -> Json:
    """Delete a track and return the deletion as it stands. Raises InvalidRequest."""
    answer: Json = api.graphql(documents.DELETE_TRACK, {"id": track_id, "reason": reason})["deleteTrack"]
    _raise_if_invalid(answer)
    return {name: value for name, value in answer.items() if name != "__typename"}


def find_deletion(api: Service, track_id: str) -> Json | None:
    """Return the deletion of a track, None if no such track was deleted."""
    deletion: Json | None = api.graphql(documents.TRACK_DELETION, {"id": track_id})["trackDeletion"]
    return deletion


def identify_file(api: Service, path: Path, *, limit: int) -> Json:
    """Ask which tracks a file holds: `matches`, `candidatesExamined` and `tookMs`."""
    answer = api.post_file("/identify", path, content_type="application/octet-stream", params={"limit": str(limit)})
    if not isinstance(answer.get("matches"), list):
        raise RequestFailed(f"{api.name} at {api.url} answered without matches. Is this the right address?")
    return answer


def feature_names(api: Service) -> list[str]:
    """Return the names of all features that the catalogue knows."""
    definitions: list[dict[str, Any]] = api.graphql(documents.FEATURE_DEFINITIONS)["featureDefinitions"]
    return [definition["name"] for definition in definitions]


def feature_coverage(api: Service) -> list[Json]:
    """Return how many tracks have the values of each extractor."""
    coverage: list[Json] = api.graphql(documents.FEATURE_COVERAGE)["featureCoverage"]
    return coverage


def similar_tracks(api: Service, track_id: str, *, first: int, by: str) -> list[Json]:
    """Return the tracks that sound most like one. Raises NotFound."""
    track: Json | None = api.graphql(documents.SIMILAR, {"id": track_id, "first": first, "by": by})["track"]
    if track is None:
        raise _no_track(track_id)
    similar: list[Json] = track["similar"]
    return similar


def nodes(connection: Json) -> Iterator[Json]:
    """Yield the nodes of a Relay connection."""
    return (edge["node"] for edge in connection["edges"])


def _no_track(track_id: str) -> NotFound:
    return NotFound(f"The catalogue has no track {track_id}. `musicfp tracks` lists those it has.")


def _raise_if_invalid(answer: Json) -> None:
    if answer["__typename"] == "InvalidRequest":
        raise InvalidRequest(answer["code"], answer["message"], answer.get("field"))
