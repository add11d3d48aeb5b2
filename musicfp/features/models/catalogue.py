"""All models that this version of musicfp knows, bundled or to be installed on purpose.

A model is added with the checksum of a file that somebody has run, never with one that is guessed: the essentia model
zoo has many more models than stand here, because their checksums are published nowhere that we have found.
"""

from musicfp.features.models import labels
from musicfp.features.models.entry import Licence, ModelEntry, ModelKind

MUSICNN_MTT = "musicnn-mtt"
MUSICNN_MSD = "musicnn-msd"
SILERO_VAD = "silero-vad"
DISCOGS_EFFNET = "discogs-effnet"
JAMENDO_INSTRUMENT = "jamendo-instrument"
JAMENDO_MOODTHEME = "jamendo-moodtheme"

ISC = Licence(
    name="ISC",
    url="https://spdx.org/licenses/ISC.html",
    commercial_use=True,
    summary="Use, change and pass on for any purpose, with the copyright notice, which is in NOTICE.",
)
MIT = Licence(
    name="MIT",
    url="https://spdx.org/licenses/MIT.html",
    commercial_use=True,
    summary="Use, change and pass on for any purpose, with the copyright notice, which is in NOTICE.",
)
ESSENTIA_MODELS = Licence(
    name="CC BY-NC-SA 4.0",
    url="https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode",
    commercial_use=False,
    summary=(
        "NOT FOR COMMERCIAL USE. You may use and share the weights for purposes that are not commercial, if you name "
        "the authors (Music Technology Group, Universitat Pompeu Fabra) and pass changed weights on under the same "
        "licence. For anything else the university sells licences: https://essentia.upf.edu/licensing_information.html"
    ),
)

_ZOO = "https://essentia.upf.edu/models"
_MUSICNN_ORIGIN = (
    "Jordi Pons, Music Technology Group, Universitat Pompeu Fabra: the checkpoint of musicnn 0.1.0, frozen to a graph "
    "with TensorFlow 2.15"
)
_ZOO_ORIGIN = "Music Technology Group, Universitat Pompeu Fabra: essentia's model zoo, unchanged"


def _musicnn(name: str, file: str, sha256: str, classes: tuple[str, ...]) -> ModelEntry:
    return ModelEntry(
        name=name,
        version="0.1.0",
        kind=ModelKind.TAGGER,
        file=file,
        url="https://github.com/jordipons/musicnn",
        sha256=sha256,
        size_bytes=3_186_733,
        licence=ISC,
        origin=_MUSICNN_ORIGIN,
        bundled=True,
        sample_rate_hz=16_000,
        input_node="model/Placeholder",
        output_nodes=("model/Sigmoid", "model/dense/BiasAdd"),
        classes=classes,
    )


def _jamendo_head(name: str, task: str, sha256: str, classes: tuple[str, ...]) -> ModelEntry:
    return ModelEntry(
        name=name,
        version="1",
        kind=ModelKind.HEAD,
        file=f"{task}-discogs-effnet-1.pb",
        url=f"{_ZOO}/classification-heads/{task}/{task}-discogs-effnet-1.pb",
        sha256=sha256,
        size_bytes=None,
        licence=ESSENTIA_MODELS,
        origin=_ZOO_ORIGIN,
        bundled=False,
        sample_rate_hz=16_000,
        input_node="model/Placeholder",
        output_nodes=("model/Sigmoid",),
        classes=classes,
    )


MODELS: dict[str, ModelEntry] = {
    each.name: each
    for each in (
        _musicnn(
            MUSICNN_MTT,
            "MTT_musicnn.pb",
            "c3cf650c40e93da14b15afed1b6770675e525000570f3cf252a845ba2583ca30",
            labels.MAGNATAGATUNE,
        ),
        _musicnn(
            MUSICNN_MSD,
            "MSD_musicnn.pb",
            "145207bc5159d65142f78057908111e83ffcd5035f2d15c5b0f7ea9b15c88496",
            labels.MILLION_SONGS,
        ),
        ModelEntry(
            name=SILERO_VAD,
            version="6.2.3",
            kind=ModelKind.SPEECH_DETECTOR,
            file="silero_vad_16k.onnx",
            url="https://github.com/snakers4/silero-vad",
            sha256="7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
            size_bytes=1_289_603,
            licence=MIT,
            origin="Silero Team: the model for 16 kHz (opset 15) of silero-vad 6.2.3, unchanged",
            bundled=True,
            sample_rate_hz=16_000,
            input_node="input",
            output_nodes=("output", "stateN"),
        ),
        ModelEntry(
            name=DISCOGS_EFFNET,
            version="1",
            kind=ModelKind.EMBEDDING,
            file="discogs-effnet-bs64-1.pb",
            url=f"{_ZOO}/feature-extractors/discogs-effnet/discogs-effnet-bs64-1.pb",
            sha256="3ed9af50d5367c0b9c795b294b00e7599e4943244f4cbd376869f3bfc87721b1",
            size_bytes=18_366_619,
            licence=ESSENTIA_MODELS,
            origin=_ZOO_ORIGIN,
            bundled=False,
            sample_rate_hz=16_000,
            input_node="serving_default_melspectrogram",
            output_nodes=("PartitionedCall:1",),
        ),
        _jamendo_head(
            JAMENDO_INSTRUMENT,
            "mtg_jamendo_instrument",
            "2e8c3003c722e098da371b6a1f7ad0ce62fac0dcfc09c7c7997d430941196c2a",
            labels.JAMENDO_INSTRUMENTS,
        ),
        _jamendo_head(
            JAMENDO_MOODTHEME,
            "mtg_jamendo_moodtheme",
            "03f2b047020aee4ab39f8880da7bdae2a36d06a1508d656c6d424ad4d6de07a9",
            labels.JAMENDO_MOODS_AND_THEMES,
        ),
    )
}
