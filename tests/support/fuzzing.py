"""How long parsers are fuzzed, and the inputs that once broke one or are worth trying every time.

In CI the same few hundred examples each time; with `HYPOTHESIS_PROFILE=long` new ones, 200,000 of each.
"""

import base64
import json
import os
from pathlib import Path

from hypothesis import HealthCheck, settings

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus.json"
_IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
FUZZING = settings(
    max_examples=200_000 if _IS_LONG else 150,
    deadline=None,
    derandomize=not _IS_LONG,
    database=None,
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture),
)


def corpus(target: str) -> list[bytes]:
    """Return the kept inputs of one target."""
    kept: dict[str, list[str]] = json.loads(CORPUS.read_text())
    return [base64.b64decode(each) for each in kept[target]]
