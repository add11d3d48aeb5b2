"""Fetching a model's file over HTTP, in bounded size and time. Comparing and keeping it is `shelf`'s."""

from collections.abc import Iterator

import httpx

from musicfp.errors import RequestFailed, ServiceUnreachable
from musicfp.features.models.entry import ModelEntry

# None of the models is half as large; what is larger is no model.
MAX_BYTES = 512 << 20
_CHUNK_BYTES = 1 << 16
_TIMEOUT_S = 60.0  # without any byte


def download(entry: ModelEntry) -> Iterator[bytes]:
    """Yield the file of a model from its publisher.

    Raises
    ------
    RequestFailed
        When the publisher answers with an error, or with more than the model has.
    ServiceUnreachable
        When nobody answers, or the connection breaks.

    """
    limit_bytes = entry.size_bytes or MAX_BYTES
    n_bytes = 0
    try:
        with httpx.stream("GET", entry.url, follow_redirects=True, timeout=_TIMEOUT_S) as response:
            if response.status_code != httpx.codes.OK:
                raise RequestFailed(
                    f"{entry.url} answered with status {response.status_code}; {entry.name} is not got."
                )
            for chunk in response.iter_bytes(_CHUNK_BYTES):
                n_bytes += len(chunk)
                if n_bytes > limit_bytes:
                    raise RequestFailed(f"{entry.url} sends more than the {limit_bytes} bytes of {entry.name}.")
                yield chunk
    except httpx.HTTPError as error:
        raise ServiceUnreachable(
            f"{entry.name} could not be downloaded from {entry.url}: {error or type(error).__name__}. Try again later, "
            f"or get {entry.file} otherwise and give it with --file."
        ) from error
