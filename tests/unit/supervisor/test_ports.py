"""Finding free ports and naming busy ones."""

import os
import socket
from collections.abc import Iterator

import pytest

from musicfp.errors import StackFailed
from musicfp.supervisor import ports
from musicfp.supervisor.ports import GRPC_OFFSET, PortUse


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])  # noqa: S104 - a foreign server may listen everywhere
def busy_port(request: pytest.FixtureRequest) -> Iterator[int]:
    with socket.create_server((request.param, 0)) as server:
        yield server.getsockname()[1]


def test_a_busy_port_is_named_with_part_owner_and_variable(busy_port: int) -> None:
    with pytest.raises(StackFailed) as caught:
        ports.require_free([PortUse(busy_port, "API", "MUSICFP_API_PORT")])
    message = str(caught.value)
    assert f"Port {busy_port} (API) is in use by process {os.getpid()}" in message
    assert "set MUSICFP_API_PORT to a free port" in message


def test_all_busy_ports_are_named_at_once(busy_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        uses = [PortUse(busy_port, "API", "A"), PortUse(other.getsockname()[1], "Dagster UI", "B")]
        with pytest.raises(StackFailed, match=r"(?s)API.*Dagster UI"):
            ports.require_free(uses)


def test_two_parts_on_one_port_are_refused_by_their_variables() -> None:
    uses = [PortUse(12345, "API", "MUSICFP_API_PORT"), PortUse(12345, "Dagster UI", "MUSICFP_DAGSTER_PORT")]
    with pytest.raises(StackFailed, match="MUSICFP_API_PORT and MUSICFP_DAGSTER_PORT are both 12345"):
        ports.require_free(uses)


def test_a_port_that_has_just_been_closed_is_free() -> None:
    """Connections in TIME_WAIT do not keep a restarted server from its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            accepted.close()
    assert ports.is_free(port)
    ports.require_free([PortUse(port, "API", "MUSICFP_API_PORT")])


def test_picked_ports_are_the_same_for_the_same_home_and_free_with_their_twins() -> None:
    first = ports.pick_pairs(4, seed="home")
    assert first == ports.pick_pairs(4, seed="home")
    assert len(set(first)) == 4
    assert all(ports.is_free(port) and ports.is_free(port + GRPC_OFFSET) for port in first)


def test_picked_ports_avoid_what_is_taken() -> None:
    taken, *_ = ports.pick_pairs(1, seed="home")
    with socket.create_server(("127.0.0.1", taken + GRPC_OFFSET)):
        assert taken not in ports.pick_pairs(3, seed="home")
    assert taken not in ports.pick_pairs(3, seed="home", avoid=frozenset({taken}))


def test_nobody_owns_a_free_port() -> None:
    (port,) = ports.pick_pairs(1, seed="nobody")
    assert ports.owner_of(port) is None
