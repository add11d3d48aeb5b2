"""Bounded logs and their ends."""

import os
from pathlib import Path

from musicfp.supervisor import logs


def test_a_big_log_is_moved_aside_while_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    descriptor = logs.open_log(path)
    os.write(descriptor, b"old\n" * 100)
    logs.rotate(path, max_bytes=100)
    os.write(descriptor, b"new\n")
    os.close(descriptor)
    assert path.read_text() == "new\n"
    assert (tmp_path / "part.log.1").read_text() == "old\n" * 100


def test_a_small_log_stays_and_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "part.log"
    for text in (b"one\n", b"two\n"):
        descriptor = logs.open_log(path)
        os.write(descriptor, text)
        os.close(descriptor)
    assert path.read_text() == "one\ntwo\n"


def test_the_tail_is_the_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    path.write_text("\n".join(str(number) for number in range(100_000)))
    assert logs.tail(path, lines=2) == "99998\n99999"
    assert logs.tail(tmp_path / "absent") == ""
