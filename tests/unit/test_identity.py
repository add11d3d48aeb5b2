"""Keys of objects, made and read back."""

import pytest

from musicfp.identity import (
    source_key,
    source_sha256_of_key,
    track_id_of_transcode_key,
    transcode_key,
    transcodes_prefix,
)

SHA256 = "ab" * 32
# Fixed: it is part of the names of tests, which all processes of a run must collect alike.
TRACK_ID = "01kb5x0v3e8q7m2c4d6f8g9h0j"


def test_what_a_key_is_made_of_is_read_back() -> None:
    """Only from keys of the right kind; a source may have its submission's id behind the hash."""
    source, transcode = source_key(SHA256, "flac"), transcode_key(TRACK_ID, "mp3_v0", SHA256, "mp3")
    assert source_sha256_of_key(source) == SHA256
    assert source_sha256_of_key(source.replace(".flac", f"-{TRACK_ID}.flac")) == SHA256
    assert track_id_of_transcode_key(transcode) == TRACK_ID
    assert transcode.startswith(transcodes_prefix(TRACK_ID))
    assert (source_sha256_of_key(transcode), track_id_of_transcode_key(source)) == (None, None)


@pytest.mark.parametrize(
    "key",
    [
        f"sources/ac/{SHA256}.flac",  # another folder than the hash begins with
        f"sources/ab/{SHA256}",
        f"sources/ab/{SHA256}.flac/more",
        f"sources/ab/{SHA256.upper()}.flac",
        f"sources/ab/{SHA256}-{TRACK_ID[:-1]}.flac",
        f"transcodes/{TRACK_ID}/../{SHA256}.mp3",
        f"transcodes/{TRACK_ID[:-1]}/mp3_v0-{SHA256[:16]}.mp3",
        f"transcodes/{TRACK_ID}/mp3_v0-{SHA256[:16]}.mp3\n",
        "probes/musicfp",
    ],
)
def test_other_keys_are_not_ours(key: str) -> None:
    """What reconciliation deletes must be beyond doubt."""
    assert source_sha256_of_key(key) is None
    assert track_id_of_transcode_key(key) is None
