"""Several processes of a service: how they are asked for, what is started, and the balancer in front of servers."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import UsageError
from core.lab.balancer import HOST, Balancer
from core.lab.protocol import BALANCER, Description, Endpoint, Step, balanced, service_of, several
from core.lab.services import free_ports
from core.settings import Settings, scale

DESCRIPTION = Description("any", "Any", "1", [], ["api"], scalable={"server": ["server-{n}", "redis"], "worker": []})


def test_the_numbers_are_asked_for_by_orchestrator_and_service() -> None:
    asked = scale("--scale", "airflow=scheduler:2, prefect=server:2+worker:3")
    assert asked == {"airflow": {"scheduler": 2}, "prefect": {"server": 2, "worker": 3}}
    assert scale("--scale", "airflow=scheduler:1") == {"airflow": {}}
    found = Settings.read({"TRIPTYCH_SCALE": "airflow=api-server:2"})
    assert (found.scale, found.passed_on) == ({"airflow": {"api-server": 2}}, {})


@pytest.mark.parametrize("text", ["scheduler:2", "airflow", "airflow=scheduler", "airflow=scheduler:0", "a=b:2+"])
def test_what_is_no_number_of_processes_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--scale: .* is not <orchestrator>=<service>:<number>"):
        scale("--scale", text)


def test_a_port_is_kept_for_each_process_that_needs_one() -> None:
    assert DESCRIPTION.ports_of({}) == ["api"]
    assert DESCRIPTION.ports_of({"server": 2, "worker": 2}) == ["api", "server-1", "server-2", "redis"]
    with pytest.raises(UsageError, match="can't have several processes of 'engine': choose from server, worker"):
        DESCRIPTION.ports_of({"engine": 2})


def test_several_processes_have_numbers_and_one_has_none() -> None:
    step = Step(start=["work"], name="worker", leaves_runs=True)
    assert several(step, 1) == [step]
    assert [(each.name, each.start, each.leaves_runs) for each in several(step, 2)] == [
        ("worker-1", ["work"], True),
        ("worker-2", ["work"], True),
    ]
    assert [service_of(name) for name in ("worker", "worker-12", "api-server-1")] == ["worker", "worker", "api-server"]


def test_several_servers_stand_behind_a_balancer_that_has_their_port() -> None:
    step = Step(start=["serve"], name="server")
    assert [each.start for each in balanced(step, "api", Endpoint("", {"api": 1}))] == [["serve", "--port", "1"]]
    ports = {"api": 1, "server-1": 2, "server-2": 3}
    first, second, balancer = balanced(step, "api", Endpoint("", ports, scale={"server": 2}))
    assert (first.start, second.start) == (["serve", "--port", "2"], ["serve", "--port", "3"])
    assert balancer.name == BALANCER
    assert balancer.start == ["python", "-m", "core.lab.balancer", "1", "2", "3"]


async def said(port: int) -> bytes:
    """Connect, ask, and return what is answered until the end; nothing when the connection is closed at once."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"ask\n")
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def server(port: int, name: bytes) -> asyncio.Server:
    """Start a server that answers each connection with its name and what it was asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name + b" " + await reader.readline())
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, HOST, port)


async def balance(ports: dict[str, int]) -> list[set[bytes]]:
    """Return what two calls were answered with both servers, with one, and with none."""
    serving = asyncio.create_task(Balancer([ports["one"], ports["two"]]).serve(ports["front"]))
    one, two = await server(ports["one"], b"one"), await server(ports["two"], b"two")
    while not await reachable(ports["front"]):
        await asyncio.sleep(0)
    answers = []
    for ended in (None, one, two):
        if ended:
            ended.close()
            await ended.wait_closed()
        answers.append({await said(ports["front"]) for _ in range(2)})
    serving.cancel()
    return answers


async def reachable(port: int) -> bool:
    """Return whether somebody listens."""
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True


def test_connections_go_to_each_server_in_turn_and_past_one_that_is_dead() -> None:
    answers = asyncio.run(balance(free_ports(["front", "one", "two"])))
    assert answers == [{b"one ask\n", b"two ask\n"}, {b"two ask\n"}, {b""}]
