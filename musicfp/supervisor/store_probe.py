"""Asking the embedded store, with a signature, whether it keeps objects.

`musicfp.store.probe` asks any S3 the same through boto3; the supervisor does without, to stay small and start soon.
"""

import hashlib
import hmac
import time

from musicfp.identity import PROBE_KEY
from musicfp.supervisor.environment import EMBEDDED_REGION
from musicfp.supervisor.ports import LOOPBACK
from musicfp.supervisor.readiness import exchange
from musicfp.supervisor.store_keys import StoreKeys

_CONTENT = PROBE_KEY.encode()
_SIGNED_HEADERS = "host;x-amz-content-sha256;x-amz-date"


def keeps_objects(port: int, bucket: str, keys: StoreKeys) -> bool:
    """Whether an object that is written into `bucket` can be read back; also True while there is no such bucket.

    A new store has no buckets: `musicfp.supervisor.prepare` makes them and asks again.
    """
    written = _signed(port, "PUT", bucket, keys, content=_CONTENT)
    if written is not None and written[0] == 404:
        return True
    return written is not None and written[0] == 200 and _signed(port, "GET", bucket, keys) == (200, _CONTENT)


def _signed(port: int, method: str, bucket: str, keys: StoreKeys, *, content: bytes = b"") -> tuple[int, bytes] | None:
    path = f"/{bucket}/{PROBE_KEY}"
    headers = {
        "host": f"{LOOPBACK}:{port}",
        "x-amz-content-sha256": hashlib.sha256(content).hexdigest(),
        "x-amz-date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
    }
    headers["authorization"] = _authorization(method, path, headers, keys)
    return exchange(port, method, path, content=content or None, headers=headers)


def _authorization(method: str, path: str, headers: dict[str, str], keys: StoreKeys) -> str:
    """Return AWS Signature Version 4 of a request whose `headers` are exactly those that are signed."""
    moment, content_sha256 = headers["x-amz-date"], headers["x-amz-content-sha256"]
    scope = f"{moment[:8]}/{EMBEDDED_REGION}/s3/aws4_request"
    listed = "".join(f"{name}:{headers[name]}\n" for name in _SIGNED_HEADERS.split(";"))
    canonical = "\n".join((method, path, "", listed, _SIGNED_HEADERS, content_sha256))
    to_sign = "\n".join(("AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{keys.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signed = hmac.digest(key, to_sign.encode(), "sha256").hex()
    credential = f"{keys.access_key}/{scope}"
    return f"AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={_SIGNED_HEADERS},Signature={signed}"
