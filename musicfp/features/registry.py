"""The registry of features: adding a feature is adding one decorated function.

    @extractor(
        name="crest",
        version="1",
        description="How far peaks stand above the average.",
        values=(FeatureSpec("dynamics.crest", unit="dB", description="Peak over RMS."),),
    )
    def crest(audio: AudioInputs) -> Iterable[FeatureValue]:
        yield measured("dynamics.crest", 20 * np.log10(np.abs(audio.mono_44k).max() / audio.mono_44k.std()))

One extractor is one Dagster asset `feature_<name>` with its `version` as code version, and gives one or more values.
Put the function in a module of this package that BUILTIN_MODULES lists, or in a module of your own named by
MUSICFP_FEATURE_MODULES (comma-separated importable names). Such a module must be cheap to import: Dagster and the API
import it for its declarations only, so essentia and models are imported inside functions (`essentia_engine`).

Here: declarations, look-up, and running one extractor on one track with its gates. Not here: processes (`worker`).
"""

import importlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from musicfp.errors import SettingsError
from musicfp.features.inputs import AUDIBLE_LUFS, AudioInputs
from musicfp.features.models.shelf import ModelShelf
from musicfp.features.values import FeatureStatus, FeatureValue, ModelMissing, NotMeasurable, Reason, absent
from musicfp.settings import Settings

BUILTIN_MODULES = (
    "musicfp.features.structure",
    "musicfp.features.loudness",
    "musicfp.features.rhythm",
    "musicfp.features.meter",
    "musicfp.features.tonal",
    "musicfp.features.harmony",
    "musicfp.features.lowlevel",
    "musicfp.features.character",
    "musicfp.features.timbre",
    "musicfp.features.tags",
    "musicfp.features.tag_proxies",
    "musicfp.features.speech",
    "musicfp.features.zoo",
)
# What the catalogue's columns take; a name that is longer would stop the stage for all tracks when it is stored.
_MAX_UNIT_CHARACTERS = 32
_EXTRACTOR_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_VALUE_NAME = re.compile(r"(?=.{3,64}$)[a-z0-9_]+(\.[a-z0-9_]+)+")

ExtractorFunction = Callable[[AudioInputs], Iterable[FeatureValue]]


@dataclass(frozen=True)
class FeatureSpec:
    """Declaration of one value: dotted name, unit (None for text and pure numbers), meaning and allowed range.

    `labels` name the numbers of a vector, in their order.
    """

    name: str
    unit: str | None
    description: str
    range: tuple[float, float] | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class FeatureDefinition:
    """One value as the API describes it: its declaration plus the extractor that gives it, at its present version."""

    name: str
    unit: str | None
    description: str
    extractor: str
    version: str
    range: tuple[float, float] | None
    inputs: tuple[str, ...]
    cost_s_per_min: float | None
    models: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Extractor:
    """A registered function with its declarations and gates."""

    name: str
    version: str
    description: str
    values: tuple[FeatureSpec, ...]
    function: ExtractorFunction
    min_duration_s: float
    audible: bool
    finite: bool
    inputs: tuple[str, ...]
    cost_s_per_min: float | None
    models: tuple[str, ...]

    def run(self, audio: AudioInputs) -> tuple[FeatureValue, ...]:
        """Return every declared value of one track, in the order of declaration; never raises an Exception.

        Gates come first, because essentia hangs on NaN and answers silence with a tempo. An exception fails the whole
        extractor, a value that is declared but not returned fails alone.
        """
        try:
            if audio.is_finite or not self.finite:
                self._check_gates(audio)
                audio.forget_windows_note()
                returned = self._collect(self.function(audio))
                note = audio.windows_note
                return tuple(_finish(spec, returned.get(spec.name), note=note) for spec in self.values)
            return self.absent(Reason.NOT_FINITE)
        except NotMeasurable as outcome:
            return self.absent(outcome.reason)
        except ModelMissing as outcome:
            return self.absent(outcome.reason, status=FeatureStatus.UNAVAILABLE)
        except Exception as error:  # one extractor must not cost a track its other features
            return self.absent(Reason.error(f"{type(error).__name__}: {error}"), status=FeatureStatus.FAILED)

    def version_with(self, models: ModelShelf) -> str:
        """Return the version of its values: its own, and of the models that it depends on as they are installed now.

        Without models it is the declared version. A model that is installed, removed or changed makes another version,
        and so makes what was computed stale: of this extractor alone.
        """
        return "-".join([self.version, *(models.token(name) for name in self.models)])

    def absent(self, reason: str, *, status: FeatureStatus = FeatureStatus.UNKNOWN) -> tuple[FeatureValue, ...]:
        """Return all declared values without an answer, for one and the same reason."""
        return tuple(
            absent(spec.name, reason, status=status).with_unit_and_note(unit=spec.unit, note=None)
            for spec in self.values
        )

    def _check_gates(self, audio: AudioInputs) -> None:
        if audio.duration_s < self.min_duration_s or audio.duration_s == 0.0:
            raise NotMeasurable(Reason.TOO_SHORT)
        if self.audible:
            integrated_lufs = audio.loudness_ebu128.integrated_lufs
            if integrated_lufs is None or integrated_lufs <= AUDIBLE_LUFS:
                raise NotMeasurable(Reason.SILENT)

    def _collect(self, values: Iterable[FeatureValue]) -> dict[str, FeatureValue]:
        declared = {spec.name for spec in self.values}
        returned: dict[str, FeatureValue] = {}
        for value in values:
            if value.name not in declared:
                raise ValueError(f"extractor {self.name} returned {value.name}, which it does not declare")
            if value.name in returned:
                raise ValueError(f"extractor {self.name} returned {value.name} twice")
            returned[value.name] = value
        return returned


class Registry:
    """All known extractors by name. Names of extractors and of values are unique."""

    def __init__(self) -> None:
        self._extractors: dict[str, Extractor] = {}

    def add(self, new: Extractor) -> None:
        """Register `new`; raises ValueError when a name is taken or malformed."""
        if _EXTRACTOR_NAME.fullmatch(new.name) is None:
            raise ValueError(f"Extractor name {new.name!r} must match {_EXTRACTOR_NAME.pattern}.")
        if not new.version or not new.values:
            raise ValueError(f"Extractor {new.name} needs a version and at least one value.")
        if new.name in self._extractors:
            raise ValueError(f"Extractor {new.name} is registered twice; names are unique.")
        taken = {spec.name: owner.name for owner in self.all() for spec in owner.values}
        for spec in new.values:
            if _VALUE_NAME.fullmatch(spec.name) is None:
                raise ValueError(
                    f"Value name {spec.name!r} of extractor {new.name} must be dotted, like rhythm.tempo, and have no "
                    "more than 64 characters."
                )
            if len(spec.unit or "") > _MAX_UNIT_CHARACTERS:
                raise ValueError(f"The unit of {spec.name} has more than {_MAX_UNIT_CHARACTERS} characters.")
            if spec.name in taken:
                raise ValueError(f"Value {spec.name} of extractor {new.name} is already given by {taken[spec.name]}.")
            taken[spec.name] = new.name
        unknown = [name for name in new.inputs if not hasattr(AudioInputs, name)]
        if unknown:
            raise ValueError(f"Extractor {new.name} declares inputs that AudioInputs lacks: {', '.join(unknown)}.")
        self._extractors[new.name] = new

    def all(self) -> tuple[Extractor, ...]:
        """Return all extractors in the order in which they were registered."""
        return tuple(self._extractors.values())

    def get(self, name: str) -> Extractor:
        """Return the extractor called `name`; raises KeyError that lists the known names."""
        if name not in self._extractors:
            raise KeyError(f"No feature extractor is called {name!r}; known are {', '.join(self._extractors)}.")
        return self._extractors[name]

    def definitions(self) -> tuple[FeatureDefinition, ...]:
        """Return a description of every value of every extractor, at the version it has with the models of now."""
        models = ModelShelf.of_settings()
        return tuple(
            FeatureDefinition(
                name=spec.name,
                unit=spec.unit,
                description=spec.description,
                extractor=owner.name,
                version=owner.version_with(models),
                range=spec.range,
                inputs=owner.inputs,
                cost_s_per_min=owner.cost_s_per_min,
                models=owner.models,
                labels=spec.labels,
            )
            for owner in self.all()
            for spec in owner.values
        )


REGISTRY = Registry()


def extractor(  # noqa: PLR0913 (a declaration, all of it by keyword)
    *,
    name: str,
    version: str,
    description: str,
    values: Sequence[FeatureSpec],
    min_duration_s: float = 0.0,
    audible: bool = False,
    finite: bool = True,
    inputs: Sequence[str] = (),
    cost_s_per_min: float | None = None,
    models: Sequence[str] = (),
    registry: Registry = REGISTRY,
) -> Callable[[ExtractorFunction], ExtractorFunction]:
    """Register the decorated function as the extractor `name`.

    Parameters
    ----------
    name
        Of the extractor and of its asset `feature_<name>`: lower-case letters, digits and underscores.
    description
        What it measures and how, for the asset and for people.
    values
        Declarations of all values that the function yields.
    registry
        Where to register; tests use one of their own.
    version
        Change it when results change: the asset of this feature then becomes stale and is computed again.
    min_duration_s
        Shorter audio gets ``too_short`` without the function being called; so does empty audio, always.
    audible
        Audio at or below AUDIBLE_LUFS gets ``silent``.
    finite
        Audio with NaN or infinite samples gets ``not_finite``. Leave it on unless samples are not looked at.
    inputs
        Names of the properties of `AudioInputs` that it reads: what it shares with others. For people.
    cost_s_per_min
        CPU seconds per minute of audio as measured, without the shared inputs; None if nobody measured. For people.
    models
        Names of the models that its answer depends on (`musicfp.features.models`). Installing one computes it again.

    """

    def register(function: ExtractorFunction) -> ExtractorFunction:
        registry.add(
            Extractor(
                name=name,
                version=version,
                description=description,
                values=tuple(values),
                function=function,
                min_duration_s=min_duration_s,
                audible=audible,
                finite=finite,
                inputs=tuple(inputs),
                cost_s_per_min=cost_s_per_min,
                models=tuple(models),
            )
        )
        return function

    return register


def load_builtin(extra_modules: Sequence[str] | None = None) -> Registry:
    """Import the built-in extractor modules and the user's, and return the registry with all of them.

    Parameters
    ----------
    extra_modules
        Names of importable modules with extractors; None means the setting MUSICFP_FEATURE_MODULES.

    Raises
    ------
    SettingsError
        When one of the user's modules cannot be imported or registers a name that is taken.

    """
    for module in BUILTIN_MODULES:
        importlib.import_module(module)
    for module in _modules_from_settings() if extra_modules is None else extra_modules:
        try:
            importlib.import_module(module)
        except (ImportError, ValueError) as error:
            raise SettingsError(
                f"MUSICFP_FEATURE_MODULES names {module!r}, which cannot be loaded: {error} "
                "Name modules on the Python path whose extractors have names of their own."
            ) from error
    return REGISTRY


def _modules_from_settings() -> tuple[str, ...]:
    return Settings.from_env().feature_modules


def _finish(spec: FeatureSpec, value: FeatureValue | None, *, note: str | None) -> FeatureValue:
    """Return `value` in its declared unit, or a failure if it is missing or outside its declared range."""
    if value is None:
        failure = absent(spec.name, Reason.error("not_returned"), status=FeatureStatus.FAILED)
        return failure.with_unit_and_note(unit=spec.unit, note=None)
    if spec.labels and value.vector is not None and len(value.vector) != len(spec.labels):
        reason = Reason.error(f"{len(value.vector)} numbers for {len(spec.labels)} labels")
        return absent(spec.name, reason, status=FeatureStatus.FAILED).with_unit_and_note(unit=spec.unit, note=None)
    if spec.range is not None:
        low, high = spec.range
        numbers = value.vector or (() if value.value is None else (value.value,))
        outside = [number for number in numbers if not low <= number <= high]
        if outside:
            reason = Reason.error(f"out_of_range {outside[0]:.6g} not in {low:g}..{high:g}")
            return absent(spec.name, reason, status=FeatureStatus.FAILED).with_unit_and_note(unit=spec.unit, note=None)
    return value.with_unit_and_note(unit=spec.unit, note=note)
