"""The only door to essentia: imports it late and quietly.

`import essentia.standard` starts TensorFlow in the process (1 CPU s, 190 MB, measured), keeps the GIL while it works
and must never happen before a fork. So it is imported on first use, inside worker processes.
"""

import os
from functools import cache
from typing import Any


def essentia() -> Any:
    """Return the module `essentia`, whose `Pool` carries tensors; see `essentia_standard`."""
    essentia_standard()
    import essentia  # noqa: PLC0415 (see the module docstring)

    return essentia


@cache
def essentia_standard() -> Any:
    """Return the module `essentia.standard`, with its and TensorFlow's chatter switched off."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import essentia  # noqa: PLC0415 (see the module docstring)

    # Before essentia.standard: importing that already logs about classifier models.
    essentia.log.infoActive = False
    essentia.log.warningActive = False
    import essentia.standard  # noqa: PLC0415

    return essentia.standard
