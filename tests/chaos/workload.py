"""What the product is given to do while it is being broken: recordings, copies of them, and clients that never give up.

What belongs here: files, and sending them as people and tools do. What does not: killing (`product`) and judging what
became of them (`invariants`).
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import httpx

from musicfp.client import api as musicfp_api
from musicfp.client.api import Ticket
from musicfp.store.objects import ObjectStore, open_store
from tests.chaos.product import Product
from tests.support.audio_samples import encode, music_samples, write_wav

SONG_S = 20.0
_PATIENCE_S = 300.0
_PAUSE_S = 0.5
_PARTS_BYTES = (64 << 20) + 4096
# Every copy holds more than 80 % of its recording, so whichever is decided first, the others are duplicates of it.
VARIANTS: dict[str, tuple[str, Sequence[str]]] = {
    "same bytes": ("flac", ("-c:a", "flac")),
    "mp3": ("mp3", ("-c:a", "libmp3lame", "-b:a", "64k")),
    "trimmed": ("ogg", ("-ss", "1", "-t", f"{SONG_S - 2}", "-c:a", "libvorbis")),
    "quiet, other tags": ("opus", ("-af", "volume=-9dB", "-c:a", "libopus", "-b:a", "64k")),
    "aac": ("m4a", ("-c:a", "aac", "-b:a", "96k")),
}

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Sent:
    """A file that the store took. `recording` is None for what is no music, `submission_id` without a ticket."""

    recording: int | None
    variant: str
    submission_id: str | None
    key: str


@dataclass
class Workload:
    """Makes files and sends them to a product; remembers what was sent."""

    product: Product
    folder: Path
    seed: int
    sent: list[Sent] = field(default_factory=list)
    _newest: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._random = random.Random(self.seed)  # noqa: S311
        self._newest = 1000 * self.seed

    @cached_property
    def store(self) -> ObjectStore:
        """The product's store, as other tools see it."""
        return open_store(self.product.settings)

    def new_recording(self) -> int:
        """Return the number of music that nobody has sent yet."""
        self._newest += 1
        return self._newest

    def send_songs(self, *, n_copies: int = 2) -> None:
        """Send a new recording, some copies of it and a file that is no music; one of them without a ticket."""
        recording = self.new_recording()
        variants = ["same bytes", *self._random.sample(list(VARIANTS), n_copies)]
        for variant in variants:
            self.send(self.file(recording, variant), recording=recording, variant=variant)
        dropped = self._random.choice(list(VARIANTS))
        self.drop(self.file(recording, dropped), recording=recording, variant=dropped)
        self.send_rubbish()

    def send_rubbish(self) -> str:
        """Send a file that is no music and return its submission's id."""
        path = self.folder / "rubbish.mp3"
        path.write_text("strings, valve oil, coffee\n" * 50)
        return self.send(path, recording=None, variant="rubbish")

    def file(self, recording: int, variant: str) -> Path:
        """Return a file of a recording."""
        extension, options = VARIANTS[variant]
        path = self.folder / f"{recording}-{variant.split(' ', maxsplit=1)[0].strip(',')}.{extension}"
        if not path.exists():
            wav = self.folder / f"{recording}.wav"
            if not wav.exists():
                write_wav(wav, music_samples(SONG_S, seed=recording))
            title = "Something else" if "tags" in variant else f"Song {recording}"
            encode(wav, path, options, tags={"title": title, "artist": "Ada"})
        return path

    def medley(self, first: int, second: int) -> Path:
        """Return a file that contains a recording and something new after it."""
        path = self.folder / f"medley-{first}-{second}.flac"
        parts = [str(self.file(each, "same bytes")) for each in (first, second)]
        joined = ("-i", parts[1], "-filter_complex", "[0:a][1:a]concat=n=2:v=0:a=1", "-c:a", "flac")
        return encode(Path(parts[0]), path, joined, tags={"title": "Medley", "artist": "Ada"})

    def send(self, path: Path, *, recording: int | None, variant: str) -> str:
        """Upload a file by a ticket, again and again until the store has it; return the submission's id."""
        ticket = self._until_done(lambda: self._ask_for_ticket(path.name, path.stat().st_size))
        self._until_done(lambda: self._put(ticket.url, path.read_bytes(), dict(ticket.headers)))
        self.sent.append(Sent(recording, variant, ticket.submission_id, ticket.url.split("?")[0].split("/", 4)[-1]))
        return ticket.submission_id

    def send_in_parts(self) -> str:
        """Upload a large file that is no music in parts, and join them."""
        content = (b"RIFF" + bytes(4) + b"AVI LIST").ljust(_PARTS_BYTES, b"x")
        ticket = self._until_done(lambda: self._ask_for_ticket("large.wav", len(content)))
        etags, start = [], 0
        for part in ticket.parts or ():
            piece = content[start : start + part.size_bytes]
            answer = self._until_done(lambda part=part, piece=piece: self._put(part.url, piece, {}))  # type: ignore[misc]
            etags.append((part.part_number, answer.headers["ETag"]))
            start += part.size_bytes
        self._until_done(lambda: self._with_api(lambda api: _true(_complete(api, ticket, etags))))
        self.sent.append(Sent(None, "parts", ticket.submission_id, ""))
        return ticket.submission_id

    def ask_for_parts(self) -> str:
        """Ask for an upload in parts and never make it."""
        return self._until_done(lambda: self._ask_for_ticket("never.wav", _PARTS_BYTES)).submission_id

    def drop(self, path: Path, *, recording: int, variant: str) -> None:
        """Put a file into the submission bucket without asking anybody, again and again until it is there."""
        key = f"dropped/{recording}-{len(self.sent)}{path.suffix}"
        bucket = self.product.settings.submission_bucket
        self._until_done(lambda: self.store.client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes()))
        self.sent.append(Sent(recording, variant, None, key))

    def mutate(self, name: str, submission_id: str, **arguments: object) -> None:
        """Ask for a mutation on a submission until the API has answered; that it was done before is an answer."""
        more = "".join(f", {key}: {_literal(value)}" for key, value in arguments.items())
        text = f'mutation {{ {name}(id: "{submission_id}"{more}) {{ __typename }} }}'
        self._until_done(lambda: self._with_api(lambda api: api.graphql(text)))

    def launch(self, job: str) -> None:
        """Start a job by the Dagster webserver, as its UI does."""
        text = """mutation($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) { __typename
            ... on Error { message } } }"""
        selector = {
            "repositoryLocationName": "musicfp_assets.definitions",
            "repositoryName": "__repository__",
            "pipelineName": job,
        }

        def ask() -> Any:
            body = {"query": text, "variables": {"params": {"selector": selector, "runConfigData": {}}}}
            answer = httpx.post(f"{self.product.stack.dagster_url}/graphql", json=body, timeout=60, trust_env=False)
            result = answer.json()["data"]["launchPipelineExecution"]
            return result["__typename"] == "LaunchRunSuccess"

        self._until_done(ask)

    def _ask_for_ticket(self, name: str, size_bytes: int) -> Ticket:
        return self._with_api(lambda api: musicfp_api.request_upload(api, filename=name, size_bytes=size_bytes))

    def _with_api(self, ask: Callable[[Any], Answer]) -> Answer:
        with musicfp_api.open_api(self.product.stack.api_url) as api:
            return ask(api)

    def _put(self, url: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
        answer = httpx.put(url, content=content, headers=headers, timeout=60, trust_env=False)
        return answer.raise_for_status()

    def _until_done(self, act: Callable[[], Answer]) -> Answer:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            problem: object = "no answer"
            try:
                if answer := act():
                    return answer
            except Exception as error:  # whatever it is, a client of this kind tries again
                problem = error
            if time.monotonic() > deadline:
                raise RuntimeError(f"A client gave up after {_PATIENCE_S:.0f} s: {problem}")
            time.sleep(_PAUSE_S)


class Feeder:
    """Keeps sending songs in the background, never more than the product can decide."""

    def __init__(self, workload: Workload, *, every_s: float, n_waiting: Callable[[], int]) -> None:
        self._workload = workload
        self._every_s = every_s
        self._n_waiting = n_waiting
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True)
        self.error: Exception | None = None

    def __enter__(self) -> "Feeder":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(_PATIENCE_S)
        if self.error is not None:
            raise self.error

    def _repeat(self) -> None:
        while not self._stop.is_set():
            try:
                if self._n_waiting() < 12:
                    self._workload.send_songs()
            except Exception as error:  # told to whoever stops it
                self.error = error
                return
            self._stop.wait(self._every_s)


def _complete(api: Any, ticket: Ticket, etags: Sequence[tuple[int, str]]) -> None:
    musicfp_api.complete_upload(api, ticket.submission_id, etags)


def _true(_nothing: None) -> bool:
    return True


def _literal(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'
