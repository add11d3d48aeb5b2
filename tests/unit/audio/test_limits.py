"""What a child process may use, and what we learn of it."""

import os
import pickle
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from musicfp.audio.limits import LimitedProcess, LimitExceeded, ProcessLimits, run_limited
from musicfp.errors import DependencyMissing, WorkerLost

LIMITS = ProcessLimits(wall_s=20, cpu_s=10, address_space_bytes=1 << 30, output_file_bytes=1 << 20, stdout_bytes=1000)


def python(code: str) -> list[str]:
    # The pause lets the limits arrive, which are set just after the start.
    return [sys.executable, "-S", "-c", f"import time, sys; time.sleep(0.05)\n{code}"]


def test_output_and_return_code_are_kept() -> None:
    finished = run_limited(python("print('out'); print('err', file=sys.stderr); sys.exit(3)"), LIMITS)
    assert (finished.returncode, finished.stdout, finished.stderr) == (3, b"out\n", "err")


def test_cpu_and_memory_are_those_of_the_child_alone() -> None:
    """A parent that once was big must not make its children look big."""
    ours = bytearray(300 << 20)
    del ours
    finished = run_limited(
        python("x = bytearray(50 << 20); x[::4096] = b'1' * len(x[::4096]); time.sleep(0.25)"), LIMITS
    )
    assert 50 << 20 < finished.peak_rss_bytes < 120 << 20
    assert 0 < finished.cpu_s < 5


@pytest.mark.parametrize(
    ("code", "changed", "limit"),
    [
        ("time.sleep(60)", {"wall_s": 0.2}, "wall_s"),
        (
            "sys.stdout.close(); sys.stderr.close(); import os; os.close(1); os.close(2); time.sleep(60)",
            {"wall_s": 0.3},
            "wall_s",
        ),
        ("print('x' * 5000)", {}, "stdout_bytes"),
        ("while True: print('x' * 5000)", {}, "stdout_bytes"),
    ],
)
def test_a_limit_that_is_passed_is_named(code: str, changed: dict[str, float], limit: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        run_limited(python(code), replace(LIMITS, **changed))
    assert caught.value.limit == limit


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit(2) is Linux's; elsewhere only wall time is limited")
@pytest.mark.parametrize(
    ("code", "limit"),
    [
        ("while True: pass", "cpu_s"),
        ("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", "cpu_s"),
        (
            "import errno, os\ntry: bytearray(2 << 30)\nexcept MemoryError: sys.exit(os.strerror(errno.ENOMEM))",
            "address_space_bytes",
        ),
        (
            "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\nopen(FILE, 'wb').write(bytes(2 << 20))",
            "output_file_bytes",
        ),
        ("open(FILE, 'wb').write(bytes(2 << 20))", "output_file_bytes"),
    ],
)
def test_the_kernel_stops_what_uses_too_much(code: str, limit: str, tmp_path: Path) -> None:
    target = tmp_path / "big"
    with pytest.raises(LimitExceeded) as caught:
        run_limited(python(f"FILE = {str(target)!r}\n{code}"), replace(LIMITS, cpu_s=1))
    assert caught.value.limit == limit
    assert not target.exists() or target.stat().st_size <= LIMITS.output_file_bytes


def test_ffmpeg_is_stopped_by_its_cpu_limit_rather_than_ending_as_if_all_were_well() -> None:
    argv = ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "anoisesrc", "-f", "null", "-"]
    with pytest.raises(LimitExceeded, match="cpu_s"):
        run_limited(argv, replace(LIMITS, cpu_s=1))


def test_a_child_killed_from_outside_is_worth_another_try() -> None:
    with pytest.raises(WorkerLost, match="killed from outside"):
        run_limited(python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), LIMITS)


def test_stderr_is_trimmed_and_harmless() -> None:
    finished = run_limited(python("sys.stderr.write('\\x1b[31mred' + 'x' * 100000)"), LIMITS)
    assert finished.stderr.startswith("�[31mred")
    assert len(finished.stderr) <= LIMITS.stderr_bytes


def test_the_child_gets_no_secrets_and_no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    finished = run_limited(python("import os; print(sorted(os.environ), repr(sys.stdin.read()))"), LIMITS)
    assert b"AWS" not in finished.stdout
    assert b"''" in finished.stdout


def test_a_missing_program_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyMissing, match=r"ffprobe.*apt-get install ffmpeg"):
        run_limited(["ffprobe", "-version"], LIMITS)


def test_leaving_early_ends_the_child() -> None:
    with LimitedProcess(python("print('x' * 100, flush=True); time.sleep(60)"), LIMITS) as process:
        first = next(process.chunks())
        pid = process._process.pid
    assert first.startswith(b"x")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_children_of_several_threads_do_not_disturb_each_other() -> None:
    results: list[int] = []
    codes = range(1, 7)
    threads = [
        threading.Thread(
            target=lambda code=code: results.append(run_limited(python(f"sys.exit({code})"), LIMITS).returncode)
        )
        for code in codes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(codes)


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(LimitExceeded("ffmpeg", "cpu_s", 3)))  # noqa: S301
    assert (error.program, error.limit, error.allowed) == ("ffmpeg", "cpu_s", 3)
