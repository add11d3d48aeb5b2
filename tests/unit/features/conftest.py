"""Fixtures for tests of features."""

import importlib.util
import sys
from pathlib import Path

# Import mode importlib puts no test directory on the path; the synthesiser is shared by name.
if "synth" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("synth", Path(__file__).with_name("synth.py"))
    assert _spec is not None
    assert _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["synth"] = _module
    _spec.loader.exec_module(_module)
