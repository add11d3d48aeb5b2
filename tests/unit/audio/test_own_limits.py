"""A step of Python's own is ended when it takes too much, and nothing of that remains afterwards."""

import resource
import signal
import sys

import pytest

from musicfp.audio.limits import LimitExceeded
from musicfp.audio.own_limits import limited_step

ROOM = 256 << 20


def test_too_much_processor_time_is_noticed() -> None:
    def count() -> None:
        while True:  # of Python's own steps: a signal is heard between two of them
            pass

    with pytest.raises(LimitExceeded, match="cpu_s"), limited_step("Counting", cpu_s=0.05, memory_bytes=ROOM):
        count()


def test_it_is_noticed_even_if_the_work_swallows_every_error() -> None:
    def swallow() -> None:
        while True:
            try:
                while True:
                    pass
            except LimitExceeded:
                return

    with pytest.raises(LimitExceeded, match="cpu_s"), limited_step("Counting", cpu_s=0.05, memory_bytes=ROOM):
        swallow()


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not know this limit")
def test_too_much_memory_is_noticed() -> None:
    with pytest.raises(LimitExceeded, match="memory_bytes"), limited_step("Hoarding", cpu_s=20, memory_bytes=32 << 20):
        bytearray(256 << 20)


def test_all_is_as_before_afterwards() -> None:
    def state() -> tuple[object, ...]:
        timer = signal.getitimer(signal.ITIMER_PROF)
        return signal.getsignal(signal.SIGPROF), timer, resource.getrlimit(resource.RLIMIT_DATA)

    before = state()
    with limited_step("Nothing", cpu_s=20, memory_bytes=ROOM):
        pass
    with pytest.raises(ZeroDivisionError), limited_step("Nothing", cpu_s=20, memory_bytes=ROOM):
        _ = 1 / 0
    assert state() == before
