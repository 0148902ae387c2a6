"""Troubles of the database: their one address, and the page on them. Those that need a server are in `integration`."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import measure
from tests.faults.database import __main__ as program
from tests.faults.database import page
from tests.faults.database.address import Address, at_port, at_socket, moved
from tests.faults.database.drill import Place
from tests.faults.database.plan import FAILOVER, LASTS_S, MIDWAY, TROUBLES
from tests.faults.drills.drill import DrillError, Ground
from tests.unit.no_services import NoServices

# --- the address


@contextmanager
def serving(says: bytes, where: socket.socket) -> Iterator[None]:
    """Answer each connection with `says` and then with what it sends, until the block ends."""

    def echo(connection: socket.socket) -> None:
        with connection:
            connection.sendall(says)
            while data := connection.recv(100):
                connection.sendall(data)

    def accept() -> None:
        while True:
            try:
                connection, _ = where.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=[connection], daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield
    finally:
        where.shutdown(socket.SHUT_RDWR)
        where.close()
        thread.join()


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server that says ``one``."""
    where = socket.create_server(("127.0.0.1", 0))
    with serving(b"one", where):
        yield where.getsockname()[1]


def connected(address: Address) -> socket.socket:
    return socket.create_connection(("127.0.0.1", address.port), 10)


def test_an_address_passes_on_what_is_said(port: int) -> None:
    with Address(at_port(port)) as address, connected(address) as client:
        assert client.recv(3) == b"one"
        client.sendall(b"?")
        assert client.recv(1) == b"?"


def test_while_it_moves_every_connection_is_cut_and_none_accepted(port: int) -> None:
    there = socket.socket(socket.AF_UNIX)
    there.bind(f"\0{Path(__file__).name}-{port}")
    there.listen()
    with serving(b"two", there), Address(at_port(port)) as address, connected(address) as client:
        known = address.port
        assert client.recv(3) == b"one"
        with moved(address, at_socket(f"@{Path(__file__).name}-{port}")):
            assert cut(client)
            with pytest.raises(ConnectionRefusedError):
                connected(address)
        with connected(address) as again:
            assert again.recv(3) == b"two"
        assert address.port == known


def test_an_address_of_a_server_that_is_gone_closes_its_connections() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as gone:
        port = gone.getsockname()[1]
    with Address(at_port(port)) as address, connected(address) as client:
        assert cut(client)


def cut(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


# --- the page

NAMES = ["airflow", "dagster", "prefect"]

ABOUT = {
    "machine": {"cpu": "any", "cores": 2, "ram_gb": 8, "system": "Linux", "load_average_at_start": 0.1},
    "versions": {"airflow": "3.3.2"},
    "measured_at": "2026-01-01T00:00:00+00:00",
    "deadline_s": 100.0,
}


def row(tool: str, trouble: str, **changes: Any) -> dict[str, Any]:
    found = {
        "tool": tool, "trouble": trouble, "lasts_s": LASTS_S.get(trouble, 0.0), "noticed_s": 2.0, "recovered_s": 9.0,
        "attempts": 2, "failed": 0, "error": None, "stuck": 0, "needed_hand": None, "again": "success",
        "ran_again": None, "tables_identical": True, "looks": 7, "partial_reads": 0, "saw": [], "months": 6,
        "seconds": 30.0, "load_average": 2.5, "version": "3.3.2", "measured_at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    if trouble == MIDWAY:
        records = {"restored": "4 queued, 2 running", "by itself": "6 success", "again": "12 success"}
        found |= {"forgot": 6, "records": records, "ran_again": 6, "ran_again_at_command": 6, "attempts": None}
    return {**found, **changes}


def test_the_page_says_what_a_trouble_cost_and_what_has_not_been_run() -> None:
    error = "PostgreSQL at 127.0.0.1:1/triptych: too many | clients already"
    rows = [
        row("airflow", FAILOVER, failed=2, recovered_s=None, error=error),
        row("airflow", MIDWAY, stuck=1, needed_hand="1 run had to be canceled"),
    ]
    said = page.page({**ABOUT, "rows": rows})
    assert "2 drills, which took 1 minute. The first of them ran 2026-01-01 00:00 UTC" in said
    assert f"**{3 * len(TROUBLES) - 2} drills have not been run.**" in said
    assert "| airflow | 2.00 | - | 2 | 2 of 6 | success |  |  | yes |" in said
    assert "too many \\| clients already" in said
    assert (
        "| airflow | 6 | 4 queued, 2 running | 6 of 6 | 6 success | 6 of 6 | 1 | 1 run had to be canceled | yes |"
        in said
    )
    assert "| drills whose tables differ in the end | none | 0 of 2 | met |" in said


def test_the_page_shows_a_broken_promise() -> None:
    wrong = row("dagster", FAILOVER, tables_identical=False, partial_reads=1, saw=["fct_trips 2024-02: 3 rows"])
    said = page.page({**ABOUT, "rows": [wrong]})
    assert "| drills whose tables differ in the end | none | 1 of 1 | missed |" in said
    assert "**a reader saw fct_trips 2024-02: 3 rows**" in said


def test_the_guide_says_what_becomes_of_a_backfill_in_a_trouble() -> None:
    rows = [
        row("airflow", FAILOVER),
        row("dagster", FAILOVER, failed=2, recovered_s=None),
        row("prefect", MIDWAY, recovered_s=None, ran_again=4, stuck=3, needed_hand="3 runs had to be canceled"),
    ]
    said = page.by_trouble(rows)
    assert "| trouble | airflow | dagster | prefect |" in said
    assert (
        f"| {TROUBLES[FAILOVER]}, 10 s | no month failed; the month under way landed after 9.00 s | 2 of 6 months "
        "failed, and landed when the command ran again | - |"
    ) in said
    assert ("ran 4 of 6 months again by itself; 3 runs stayed stuck; by hand: 3 runs had to be canceled |") in said
    assert "identical to the baseline's in 3 of 3 drills" in said


# --- the program


@pytest.fixture
def carried_out(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The troubles that were carried out; a failover can't be."""
    found: list[str] = []

    def carry_out(at: Ground, where: Place, tool: str, trouble: str) -> dict[str, Any]:
        found.append(trouble)
        if trouble == FAILOVER:
            raise DrillError("no such luck")
        return row(tool, trouble)

    monkeypatch.setattr(program, "carry_out", carry_out)
    return found


def of_tool(folder: Path, again: bool = False, version: str = "1") -> tuple[int, NoServices]:
    results, bench = program.recorded(folder), NoServices()
    results.about = {**ABOUT, "versions": {"airflow": version}}
    at = Ground(bench, folder, "", [])  # type: ignore[arg-type]
    return program.of_tool(at, Place(""), "airflow", [FAILOVER, MIDWAY], results, again), bench


def test_a_drill_that_has_a_row_of_the_same_version_is_not_repeated(tmp_path: Path, carried_out: list[str]) -> None:
    for changes in ({}, {}, {"again": True}, {"version": "2"}):
        failed, bench = of_tool(tmp_path, **changes)
        assert (failed, bench.ended) == (1, ["airflow"])
    assert carried_out.count(MIDWAY) == 3
    [kept] = measure.read("database", tmp_path)["rows"]
    assert (kept["trouble"], kept["version"]) == (MIDWAY, "2")
