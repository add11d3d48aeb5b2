"""A server and a file that no upload must make us look at, and a count of who did.

The server listens on loopback, TCP and UDP on the same port, and counts every connection and datagram. The file is
watched with inotify (Linux): opening it counts, whoever does it.
"""

import ctypes
import os
import selectors
import socket
import struct
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_IN_OPEN = 0x20
_IN_NONBLOCK = 0o4000
_EVENT = struct.Struct("iIII")
_ANSWER = b"HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n"


class Canary:
    """Context manager; `server_hits` and `file_hits` are what was seen since the start."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "canary.wav"
        self.server_hits = 0
        self._opened = 0
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._stop = threading.Event()

    @property
    def url(self) -> str:
        """Where the server listens."""
        return f"http://127.0.0.1:{self._tcp.getsockname()[1]}/canary.wav"

    @property
    def file_hits(self) -> int:
        """How often the file was opened."""
        try:
            events = os.read(self._inotify, 1 << 16)
        except BlockingIOError:
            events = b""
        while events:
            _, _, _, n_name = _EVENT.unpack_from(events)
            self._opened += 1
            events = events[_EVENT.size + n_name :]
        return self._opened

    def __enter__(self) -> Self:
        self.path.write_bytes(b"RIFF\0\0\0\0WAVE the canary that nobody may open")
        self._inotify = self._libc.inotify_init1(_IN_NONBLOCK)
        if self._inotify < 0 or self._libc.inotify_add_watch(self._inotify, bytes(self.path), _IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), "inotify cannot watch the canary file")
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(self._tcp.getsockname())
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._tcp.close()
        self._udp.close()
        os.close(self._inotify)

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._tcp, selectors.EVENT_READ)
            selector.register(self._udp, selectors.EVENT_READ)
            while not self._stop.is_set():
                for key, _ in selector.select(0.05):
                    self.server_hits += 1
                    if key.fileobj is self._udp:
                        self._udp.recv(1 << 16)
                        continue
                    connection, _address = self._tcp.accept()
                    with connection:
                        connection.sendall(_ANSWER)
