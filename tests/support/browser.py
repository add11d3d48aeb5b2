"""A real headless Chromium that reaches this machine only."""

import subprocess
import tempfile
from pathlib import Path

# Any other host fails to resolve: a page that needs one would show it.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=20000",
)


def rendered(url: str) -> str:
    """Return the document of a page as it is after its scripts have run."""
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        finished = subprocess.run(
            [
                "chromium",
                *_FLAGS,
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                f"--user-data-dir={Path(profile)}",
                "--dump-dom",
                url,
            ],
            capture_output=True,
            text=True,
            timeout=180,
            check=True,
        )
    return finished.stdout
