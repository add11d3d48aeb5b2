"""The one tree of errors that musicfp raises on purpose.

    MusicfpError
    ├── PermanentError            trying again gives the same answer
    │   ├── SettingsError         an environment variable is wrong
    │   ├── SubmissionRejected    the upload cannot enter the catalogue; carries Problems
    │   ├── InvalidRequest        a caller asked for something impossible; becomes a typed API answer
    │   ├── InvalidFingerprint    text that is not a Chromaprint fingerprint
    │   ├── NotFound              no such submission, track or object
    │   ├── RequestFailed         a service that we asked as its client said no, or answered with nonsense
    │   ├── ModelDamaged          the file of a model is not the model
    │   └── DependencyMissing     ffmpeg, libchromaprint, weed ... is not installed
    └── RetryableError            trying again later may work
        ├── ServiceUnreachable    the API or Dagster, whose client we are, did not answer
        ├── StoreUnavailable      the object store did not answer
        ├── QueueUnavailable      the queue of the bucket's notifications did not answer; the bucket is listed instead
        ├── DatabaseUnavailable   the database did not answer
        ├── ObjectChanged         the object is not the one that was looked at before
        ├── WorkerLost            a child process crashed, hung or ran out of memory
        ├── IndexFileUnusable     a file of the search index is damaged; searches go on without it
        ├── IndexOutdated         another build of the search index was finished meanwhile
        └── StackFailed           `musicfp up` could not start its parts or keep them running

A message says what was attempted, what was found and what to do. Dagster maps PermanentError to "do not retry";
GraphQL maps InvalidRequest and InvalidFingerprint to members of result unions.
"""

from dataclasses import dataclass


class MusicfpError(Exception):
    """Base of every error that musicfp raises on purpose."""

    code = "error"


class PermanentError(MusicfpError):
    """Trying again without changing anything gives the same answer."""


class RetryableError(MusicfpError):
    """Trying again later may succeed."""


class SettingsError(PermanentError):
    """An environment variable has an unusable value; the message names it."""

    code = "settings"


@dataclass(frozen=True)
class Problem:
    """One reason why an upload was not accepted, in words a musician understands.

    `code` is stable and machine-readable, `field` names the tag or property at fault when there is one.
    """

    code: str
    message: str
    field: str | None = None


class SubmissionRejected(PermanentError):
    """The upload cannot enter the catalogue. `problems` holds every reason that was found."""

    code = "rejected"

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems

    def __reduce__(self) -> tuple[type["SubmissionRejected"], tuple[Problem, ...]]:
        """Survive the trip from a worker process: exceptions are rebuilt from these arguments."""
        return type(self), self.problems


class InvalidRequest(PermanentError):
    """A caller asked for something that cannot be done; `code`, `message` and `field` go to the caller."""

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field


class InvalidFingerprint(PermanentError):
    """The given text or bytes are not a Chromaprint fingerprint that can be searched for."""

    code = "invalid_fingerprint"


class NotFound(PermanentError):
    """No submission, track or object has this id."""

    code = "not_found"


class RequestFailed(PermanentError):
    """A service that musicfp asked as its client refused, or answered with something that cannot be understood."""

    code = "request_failed"


class ModelDamaged(PermanentError):
    """The file of a model does not have the checksum of the model; it is neither kept nor used."""

    code = "model_damaged"


class DependencyMissing(PermanentError):
    """A program or library that musicfp needs is not installed; the message says how to install it."""

    code = "dependency_missing"


class ServiceUnreachable(RetryableError):
    """The API or Dagster, asked by one of our clients, did not answer or answered with a server error."""

    code = "service_unreachable"


class StoreUnavailable(RetryableError):
    """The object store did not answer or answered with a server error."""

    code = "store_unavailable"


class QueueUnavailable(RetryableError):
    """The queue of the bucket's notifications did not answer or refused; meanwhile the bucket is listed."""

    code = "queue_unavailable"


class DatabaseUnavailable(RetryableError):
    """The database did not answer; the message says how to reach it."""

    code = "database_unavailable"


class ObjectChanged(RetryableError):
    """The object in the store is not the one that was looked at before."""

    code = "object_changed"


class WorkerLost(RetryableError):
    """A child process crashed, ran into its time limit or out of memory."""

    code = "worker_lost"


class StackFailed(RetryableError):
    """`musicfp up` could not start its parts or keep them running; the message says which one and why."""

    code = "stack_failed"


class IndexOutdated(RetryableError):
    """Another build of the search index was finished while this one was made, so this one is not used."""

    code = "index_outdated"


class IndexFileUnusable(RetryableError):
    """A file of the search index is damaged or none; the message names it. Searches go on without it."""

    code = "index_file_unusable"
