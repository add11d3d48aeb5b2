"""Weights of the models of pulse, bar and downbeat, learnt from rendered scores (`eval.features.fit_rhythm`).

Here: reading them. Not here: what they weigh (`pulse_model`, `meter_model`, `beat_grid`).
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PATH = Path(__file__).with_name("rhythm_weights.json")

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class RhythmWeights:
    """Weights by what they belong to. Of n features: mean and spread [shape=(n,)] standardise them first.

    Parameters
    ----------
    pulse_mean, pulse_spread, pulse_shared
        Of `pulse_model.periodicity`, the last for every kind of bar alike. [shape=(n,)]
    pulse_by_bar, pulse_usual
        Of `pulse_model.periodicity` and `usualness` for 4/4, 3/4, 6/8 and 9/8. [shape=(n, 4)]
    fold_mean, fold_spread, fold
        Of `meter_model.folding`. [shape=(n,)]
    division_mean, division_spread, division
        Of `meter_model.division`. [shape=(n,), (n,), (n, 4)]
    bar_bias, bar_pulse
        Log odds of each kind of bar, and what the pulse's opinion counts. [shape=(4,), (1,)]
    bar_start
        Of `beat_grid.bar_place_features`. [shape=(n,)]

    """

    pulse_mean: _Array
    pulse_spread: _Array
    pulse_shared: _Array
    pulse_by_bar: _Array
    pulse_usual: _Array
    fold_mean: _Array
    fold_spread: _Array
    fold: _Array
    division_mean: _Array
    division_spread: _Array
    division: _Array
    bar_bias: _Array
    bar_pulse: _Array
    bar_start: _Array


@cache
def rhythm_weights() -> RhythmWeights:
    """Return the weights, read once."""
    stored = json.loads(PATH.read_text())
    return RhythmWeights(**{name: np.array(numbers) for name, numbers in stored["weights"].items()})
