"""Ways to hear a query, and the tiers of a search: what is looked up first, and what if that is not enough.

What belongs here: how items are made from a query's samples under an assumption (noise, speed, band), and which terms
each tier asks for. What does not: looking them up (`search`).

A query that is only a fingerprint can be heard in one way. One that comes with its samples can be heard as through a
telephone, without its noise, and at another speed or pitch, and it says which of its bits are doubtful.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.chroma_image import FULL_BAND, Band, chroma_image, power_spectra, without_stationary_noise
from musicfp.fingerprint.classifiers import classifier_values, items_of
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.probes import Probes, flip_probes, likely_probes

BANDS = {FingerprintKind.FULL: FULL_BAND, FingerprintKind.BAND: Band(300.0, 3400.0)}
# The costly tiers hear at most so much of a long query: three windows of 10 s, spread over it.
_MAX_ITEMS_LISTENED = 240
_MAX_ITEMS_FLIPPED = 640
_SEMITONE = 2 ** (1 / 12)
_LIKELY_PER_ITEM = 64
_THOROUGH_PER_ITEM = 512


class Tier(StrEnum):
    """The steps of a search, cheapest first; each is taken only if those before found nothing sure."""

    EXACT = "exact"
    """The terms as they are: clean audio in any codec."""
    LIKELY = "likely"
    """The likeliest terms of each item, in both fingerprints; one flip if there are no samples."""
    THOROUGH = "thorough"
    """Many likely terms, also with stationary noise taken off; two flips if there are no samples."""
    RATES = "rates"
    """Up to a semitone higher and lower in steps of up to a third, with and without the speed. Needs samples."""
    EXHAUSTIVE = "exhaustive"
    """Every alignment with every track, in small catalogues."""


@dataclass(frozen=True, eq=False)
class Query:
    """What is looked for: a fingerprint, and if the query came as audio its samples.

    `samples` is NDArray[np.int16] [shape=(n_samples,)], mono at 11025 Hz, what the fingerprint was made from.
    """

    fingerprint: Fingerprint
    samples: NDArray[np.int16] | None = None

    @cached_property
    def power(self) -> NDArray[np.float64]:
        """The power spectra of the samples at their own pitch and speed."""
        return power_spectra(self._samples)

    @cached_property
    def _samples(self) -> NDArray[np.int16]:
        return np.zeros(0, dtype=np.int16) if self.samples is None else self.samples


@dataclass(frozen=True)
class Rate:
    """By what factors a query may be higher and faster than its track, and in which fingerprint that is heard."""

    kind: FingerprintKind
    pitch: float
    speed: float


def _rates(*, of_speed: Iterable[int], of_pitch: Iterable[int]) -> Iterator[Rate]:
    """Yield rates in sixths of a semitone, upwards and downwards, small changes first."""
    for sixths in range(1, 7):
        for factor in (_SEMITONE ** (sixths / 6), _SEMITONE ** (-sixths / 6)):
            # A record played faster.
            if sixths in of_speed:
                yield Rate(FingerprintKind.FULL, factor, factor)
            # A song transposed. What transposes smears the bass, which the band leaves out.
            if sixths in of_pitch:
                yield Rate(FingerprintKind.BAND, factor, 1.0)


# A noisy clip is heard with many guesses, which finds it half a step beside its rate.
RATES = tuple(_rates(of_speed=(1, 2, 4, 6), of_pitch=(2, 4, 6)))
# A whole recording is heard with few.
CLOSE_RATES = tuple(_rates(of_speed=range(1, 7), of_pitch=range(1, 7)))
# Half the distance of two rates; the quick lengths of transforms are within 2 cents of what is asked for.
_FINE_CENTS = (-8, -4, 4, 8)
AS_IT_IS = Rate(FingerprintKind.FULL, 1.0, 1.0)


@dataclass(frozen=True)
class Listening:
    """The query heard in one way: its items, the terms to look up, in which fingerprint of the tracks, at what rate."""

    kind: FingerprintKind
    items: NDArray[np.uint32]
    probes: Probes
    rate: Rate = AS_IT_IS


def listenings(query: Query, tier: Tier) -> Iterator[tuple[Listening, ...]]:
    """Yield the ways of one tier, made when they are asked for; those of a tuple have equally many items.

    What the ways of a tuple find counts together: in reverberation, the right place is among the 16 best of 100,000
    tracks for .61 of the clips by the full fingerprint, .68 by that of the band, and .88 by both.
    """
    items = query.fingerprint.sub_fingerprints
    match tier:
        case Tier.EXACT:
            yield (Listening(FingerprintKind.FULL, items, flip_probes(items, n_flips=0)),)
        case Tier.LIKELY if query.samples is None:
            flips = _some(flip_probes(items, n_flips=1), items.size, _MAX_ITEMS_FLIPPED)
            yield (Listening(FingerprintKind.FULL, items, flips),)
        case Tier.LIKELY:
            yield (
                _guessed(FingerprintKind.BAND, query.power, per_item=_LIKELY_PER_ITEM),
                _guessed(FingerprintKind.FULL, query.power, per_item=_LIKELY_PER_ITEM),
            )
        case Tier.THOROUGH if query.samples is None:
            # Of more than 30 s, enough items survive with one flip: every upload that is new comes this far.
            if items.size <= _MAX_ITEMS_LISTENED:
                yield (Listening(FingerprintKind.FULL, items, flip_probes(items, n_flips=2)),)
        case Tier.THOROUGH:
            yield (
                _guessed(FingerprintKind.FULL, query.power, per_item=_THOROUGH_PER_ITEM),
                _guessed(FingerprintKind.FULL, without_stationary_noise(query.power), per_item=_THOROUGH_PER_ITEM),
                _guessed(FingerprintKind.BAND, query.power, per_item=_THOROUGH_PER_ITEM),
            )
        case Tier.RATES if query.samples is not None:
            for rate in RATES:
                yield (heard_at(query.samples, rate),)
        case Tier.EXHAUSTIVE:
            # Compared with everything, so nothing is guessed.
            as_it_is = Listening(FingerprintKind.FULL, items, flip_probes(items, n_flips=0))
            yield (
                (as_it_is,)
                if query.samples is None
                else (as_it_is, _guessed(FingerprintKind.BAND, query.power, per_item=1))
            )
        case _:
            return


def rates_around(rate: Rate) -> Iterator[Rate]:
    """Yield a rate of `CLOSE_RATES` and others up to the middle between it and its neighbours."""
    yield rate
    for cents in _FINE_CENTS:
        factor = 2 ** (cents / 1200)
        yield replace(rate, pitch=rate.pitch * factor, speed=rate.speed * (1.0 if rate.speed == 1.0 else factor))


def heard_at(samples: NDArray[np.int16], rate: Rate, *, per_item: int = _LIKELY_PER_ITEM) -> Listening:
    """Hear samples [shape=(n_samples,)], mono at 11025 Hz, as if they were not changed by this rate."""
    power = power_spectra(samples, pitch=rate.pitch, speed=rate.speed)
    return replace(_guessed(rate.kind, power, per_item=per_item), rate=rate)


def _guessed(kind: FingerprintKind, power: NDArray[np.float64], *, per_item: int) -> Listening:
    values = classifier_values(chroma_image(power, band=BANDS[kind]))
    return Listening(kind, items_of(values), _some_likely(values, per_item=per_item))


def _some_likely(values: NDArray[np.float64], *, per_item: int) -> Probes:
    listened = _listened_items(len(values), _MAX_ITEMS_LISTENED)
    probes = likely_probes(values[listened], per_item=per_item)
    return Probes(probes.term, listened[probes.item], probes.log_probability)


def _some(probes: Probes, n_items: int, at_most: int) -> Probes:
    listened = np.isin(probes.item, _listened_items(n_items, at_most))
    return Probes(probes.term[listened], probes.item[listened], probes.log_probability[listened])


def _listened_items(n_items: int, at_most: int) -> NDArray[np.int64]:
    """Return the items that a costly tier looks at: all, or three stretches at the start, in the middle, at the end."""
    if n_items <= at_most:
        return np.arange(n_items)
    stretch = at_most // 3
    starts = np.linspace(0, n_items - stretch, 3).round().astype(np.int64)
    return (starts[:, None] + np.arange(stretch)).ravel()
