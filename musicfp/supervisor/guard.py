"""The process that cleans up when `musicfp up` itself is killed.

It holds the reading end of a pipe whose writing end only `musicfp up` has. When the pipe closes without a farewell,
`musicfp up` has died without stopping its parts: the guard ends them all, and only then lets go of the home's lock.

It stays small: only the standard library.
"""

import os
import signal
import subprocess
import sys
from types import TracebackType

from musicfp.supervisor import processes

_FAREWELL = "stopped"
_GRACE_S = 8.0


class Guard:
    """Starts the guard process; tell it of each process group. Use as a context manager around the group's life."""

    def __init__(self, token: str, *, lock_descriptor: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "musicfp.supervisor.guard", token],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal is not meant for it
            pass_fds=(lock_descriptor,),
            env={name: value for name, value in os.environ.items() if name != processes.MARK_VARIABLE},
            bufsize=0,
        )

    @property
    def pid(self) -> int:
        """The guard's process id."""
        return self._process.pid

    def watch(self, group: int) -> None:
        """Tell the guard of a process group that it must end (where marks cannot be read)."""
        self._tell(f"group {group}")

    def __enter__(self) -> "Guard":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say farewell when everything has been stopped; after an error, leave the rest to the guard."""
        if kind is None:
            self._tell(_FAREWELL)
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        if self._process.stdin is None:
            return
        try:
            self._process.stdin.write(f"{line}\n".encode())
        except BrokenPipeError:  # somebody killed the guard: the group works without it, only less safely
            return


def guard(token: str) -> None:
    """Wait for the farewell on standard input; if the pipe closes without one, end the group `token`."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: list[int] = []
    for line in sys.stdin:
        word, _, argument = line.strip().partition(" ")
        if word == _FAREWELL:
            return
        groups.append(int(argument))
    processes.end(lambda: processes.marked(token), grace_s=_GRACE_S)
    if sys.platform != "linux":
        for group in reversed(groups):
            processes.send_group(group, signal.SIGKILL)


if __name__ == "__main__":
    guard(sys.argv[1])
