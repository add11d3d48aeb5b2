"""Names of the assets that the pipeline makes, and the version of the code that makes each.

A changed version means that the same input would give another output: tracks made by the old one are then stale.
"""

from hashlib import sha256

from musicfp.audio.transcode_profiles import TranscodeProfile, profiles_named
from musicfp.features.models.shelf import ModelShelf
from musicfp.features.registry import Extractor, Registry
from musicfp.fingerprint.band import BAND_FINGERPRINTER_VERSION
from musicfp.fingerprint.chromaprint import FINGERPRINTER_VERSION
from musicfp.fingerprint.search import SEARCH_VERSION
from musicfp.fingerprint.verdict import POLICY_VERSION
from musicfp.pipeline.inspection import INSPECTION_VERSION
from musicfp.settings import Settings

TRACK_METADATA = "track_metadata"
FINGERPRINT = "fingerprint"
DEDUPE_VERDICT = "dedupe_verdict"
SOURCE_AUDIO = "source_audio"
BAND_FINGERPRINT = "fingerprint_300_3400"
TRANSCODE_PREFIX = "transcode_"
FEATURE_PREFIX = "feature_"

INGEST_ASSET_VERSIONS = {
    TRACK_METADATA: INSPECTION_VERSION,
    FINGERPRINT: FINGERPRINTER_VERSION,
    DEDUPE_VERDICT: f"search-{SEARCH_VERSION}-policy-{POLICY_VERSION}",
}
SOURCE_AUDIO_VERSION = "1"
_TRANSCODER_VERSION = "1"


def transcode_asset(profile: TranscodeProfile) -> str:
    """Return the asset name of a transcode profile."""
    return f"{TRANSCODE_PREFIX}{profile.name}"


def feature_asset(extractor: Extractor) -> str:
    """Return the asset name of a feature extractor."""
    return f"{FEATURE_PREFIX}{extractor.name}"


def transcode_version(profile: TranscodeProfile) -> str:
    """Return the version of a profile's transcodes: editing a profile makes its transcodes stale, and only those."""
    recipe = repr((profile.container, profile.ffmpeg_args, profile.sample_rates_hz))
    return f"{_TRANSCODER_VERSION}-{sha256(recipe.encode()).hexdigest()[:8]}"


def transcode_versions(settings: Settings) -> dict[str, str]:
    """Return the assets of the transcode stage with their versions: all that is made while a source is decoded once.

    They are the source itself, its second fingerprint and one file per profile.
    """
    profiles = profiles_named(settings.transcode_profiles)
    always = {SOURCE_AUDIO: SOURCE_AUDIO_VERSION, BAND_FINGERPRINT: BAND_FINGERPRINTER_VERSION}
    return always | {transcode_asset(each): transcode_version(each) for each in profiles}


def feature_versions(registry: Registry) -> dict[str, str]:
    """Return the assets of the feature stage with their versions: those of the models that are installed now count.

    So ask at the time of use; it costs a look into the folder of models, no hashing.
    """
    models = ModelShelf.of_settings()
    return {feature_asset(each): each.version_with(models) for each in registry.all()}
