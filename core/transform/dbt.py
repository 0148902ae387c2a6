"""The dbt project, run in an environment of its own.

    project_version   one hash over the project's files
    lineage           the models and their tests, from the manifest; needs no database
    build             models, then tests, in one process; gives what each test found, or raises what stopped a model

Imports no dbt: it starts the executable, and reads the artifacts that dbt writes.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import json
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import IO, Any, Literal

import psycopg

from core.database import libpq_variables, limit_reached
from core.errors import (
    Busy,
    DatabaseUnavailable,
    DiskFull,
    TransformFailed,
    TransientError,
    TriptychError,
    UsageError,
    room,
)
from core.settings import ROOT, private, settings
from core.transform import warm
from core.waiting import until

PROJECT = ROOT / "dbt"
WARM_UP = Path(__file__).with_name("warm_up.py")

Artifact = dict[str, Any]


@dataclass(frozen=True)
class DbtTest:
    """A test that the project declares: on data, or on a model's SQL with made-up rows (``unit``)."""

    name: str
    model: str
    kind: Literal["data", "unit"]
    severity: Literal["error", "warn"]
    description: str


@dataclass(frozen=True)
class Column:
    """A column of a model, with the PostgreSQL type that the project declares for it."""

    name: str
    type: str
    nullable: bool
    description: str


@dataclass(frozen=True)
class Model:
    """A model. `depends_on` names models and raw tables; models come in an order in which they can be built."""

    name: str
    description: str
    path: Path
    columns: tuple[Column, ...]
    depends_on: tuple[str, ...]
    tests: tuple[DbtTest, ...]


@dataclass(frozen=True)
class Outcome:
    """What a test found. `failures` counts the rows that it gave; `sql` is the query, and it can be asked again."""

    test: DbtTest
    passed: bool
    failures: int
    message: str
    sql: str


def project_version() -> str:
    """A hash of the files that say what is built. When it changes, everything is built again."""
    digest = hashlib.sha256()
    for path in sorted(path for path in PROJECT.rglob("*") if path.suffix in (".sql", ".yml")):
        name = path.relative_to(PROJECT).as_posix()
        if not name.startswith(("target/", "logs/")) and path.name != ".user.yml":
            digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()[:32]


def model_names() -> tuple[str, ...]:
    """The models that the project has, from its file names: no dbt is started."""
    return tuple(sorted(path.stem for path in PROJECT.glob("models/**/*.sql")))


def lineage() -> tuple[Model, ...]:
    """The project's models. Runs ``dbt parse`` when the project has changed since the last call, and connects nowhere.

    Raise `TransformFailed` when the project does not parse.
    """
    manifest = settings().home / "dbt" / f"manifest-{project_version()}.json"
    if not manifest.exists():
        _parse(manifest)
    return models(json.loads(manifest.read_text()))


def _parse(manifest: Path) -> None:
    folder = manifest.parent / "parse"
    # locked: a tool that loads its definitions in many processes at once parses once
    with room(folder), _exclusive(folder) as lock:
        if manifest.exists():
            return
        process = run(["parse"], folder, scratch_environment(), keep_open=[lock])
        if process.returncode != 0:
            _find_room(folder)
            raise TransformFailed(f"the dbt project does not parse: {_last_error(process.stdout)}")
        (folder / "manifest.json").replace(manifest)


def build(
    server: psycopg.ConnectionInfo, schema: str, months: Sequence[dt.date] | None, *, views: bool, unit_tests: bool
) -> list[Outcome]:  # fmt: skip
    """Build the models in `schema`, then test them. `months` are the source months to rebuild, None for all of them.

    The marts are built as `<mart>__unpublished`, with the rows of these months; `core.transform.marts` publishes them. Without months
    only views are made. Without `views` those stay as they are: what they show follows the raw tables by itself.

    A failed data test is an `Outcome`; it holds back no model. Raise `TransformFailed` naming the model that could not
    be built, `DatabaseUnavailable`, `DiskFull` or `Busy` when the server is the cause, `TransientError` when dbt was killed or
    interrupted.
    """
    arguments = [
        "build",
        *(["--select", "config.materialized:view", "--indirect-selection", "empty"] if months == () else []),
        # `empty`, because the views' tests are not left out with them
        *([] if views else ["--exclude", "config.materialized:view", "--indirect-selection", "empty"]),
        *([] if unit_tests else ["--exclude-resource-type", "unit_test"]),
    ]
    folder = schema_folder(server, schema)
    results = folder / "run_results.json"
    with room(folder), _exclusive(folder) as lock:
        results.unlink(missing_ok=True)
        process = run(arguments, folder, _environment(server, schema, months), keep_open=[lock])
        found: list[Artifact] = _whole(results).get("results", [])
        tests = _tests(json.loads((folder / "manifest.json").read_text())) if found else {}
        if not found:
            _find_room(folder)
    _raise_if_stopped(process, found, tests, folder, server.password)
    return [_outcome(tests[node], result) for result in found if (node := result["unique_id"]) in tests]


def _whole(artifact: Path) -> Artifact:
    """What dbt wrote; empty when it did not, or was ended while it did."""
    try:
        whole: Artifact = json.loads(artifact.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return whole


def _find_room(folder: Path) -> None:
    """Fail where no file may grow: dbt's message has found no room there either."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(4096))


def run(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], keep_open: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    """Run one dbt command, its artifacts and log in `folder`; errors are on its standard output.

    As text: for JSON lines dbt spells out each of its 350 events in full before it drops those that are no errors, a tenth of a
    warm build.

    The one place that runs dbt: by the warm server of this state folder where there is one (see `warm_server`), else by a
    cold process. `keep_open` are file descriptors that dbt inherits.
    """
    words, executable = _words(arguments, folder), settings().dbt
    with tempfile.TemporaryFile(dir=folder) as out, tempfile.TemporaryFile(dir=folder) as err:
        server, files = _socket(settings().home, executable), (out.fileno(), err.fileno())
        code = warm.call(
            server, words, cwd=PROJECT, env=environment, stdout=files[0], stderr=files[1], keep_open=keep_open
        )
        if code is None:
            code = _run_cold(executable, words, environment, files, keep_open)
        return subprocess.CompletedProcess(words, code, _text(out), _text(err))


def _words(arguments: Sequence[str], folder: Path) -> list[str]:
    # fmt: off
    return [
        "--quiet", "--log-format", "text", "--no-version-check", *arguments,
        "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--target-path", str(folder), "--log-path", str(folder),
    ]
    # fmt: on


def _run_cold(
    executable: Path, words: Sequence[str], environment: Mapping[str, str], files: tuple[int, int], keep_open: Sequence[int]
) -> int:  # fmt: skip
    out, err = files
    try:
        return subprocess.run(
            [str(executable), *words], cwd=PROJECT, env=dict(environment), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            pass_fds=keep_open,
        ).returncode  # fmt: skip
    except FileNotFoundError:
        raise UsageError(
            f"{executable} is not there: run `make setup`, or set TRIPTYCH_DBT to a dbt executable"
        ) from None


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def warm_server(home: Path, executable: Path) -> list[str] | None:
    """The command that serves dbt, warm, to all loaders that work in the state folder `home`; see `core.transform.warm`.

    None where the interpreter that `executable` runs in can't be told: then every dbt is a cold one.
    """
    try:
        python = executable.resolve(strict=True).with_name("python")
        socket = _socket(home, executable)
    except OSError:
        return None
    # The static parser keeps threads, and what has threads can't be forked.
    parse = _words(["parse", "--no-static-parser"], socket.parent)
    words = [str(python), "-P", warm.__file__, str(socket), "dbt", str(WARM_UP), *parse]
    return words if python.exists() else None


def warm_folder(home: Path) -> Path:
    """Where the warm server of a state folder has what is its own."""
    return home / "dbt" / "warm"


def _socket(home: Path, executable: Path) -> Path:
    """Where dbt is served warm: another executable, or another version under the same name, is another place."""
    identity = (str(executable.resolve()), executable.stat().st_mtime_ns if executable.exists() else 0)
    return warm_folder(home) / f"{hashlib.sha256(repr(identity).encode()).hexdigest()[:8]}.sock"


def _environment(server: psycopg.ConnectionInfo, schema: str, months: Sequence[dt.date] | None) -> dict[str, str]:
    """The server as our own connection found it, whatever mix of DSN, service file and password file led there."""
    variables = libpq_variables()
    environment = {variables[key]: value for key, value in server.get_parameters().items() if key in variables}
    environment |= {
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGUSER": server.user,
        "PGDATABASE": server.dbname,
        "PGAPPNAME": f"triptych dbt {schema}",
        "DBT_ENV_SECRET_PGPASSWORD": server.password,  # dbt hides values of this prefix in all that it writes
        "TRIPTYCH_SCHEMA": schema,
    }
    if months is not None:
        environment["TRIPTYCH_MONTHS"] = ",".join(str(month) for month in months)
    return scratch_environment() | environment


def scratch_environment() -> dict[str, str]:
    """What every dbt process is given, whoever starts it."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "LANG": "C.UTF-8"}


def schema_folder(server: psycopg.ConnectionInfo, schema: str) -> Path:
    """Return the folder in which dbt keeps what it knows of one schema; a hash tells servers apart."""
    place = f"{server.host}\0{server.port}\0{server.dbname}"
    return settings().home / "dbt" / f"{schema}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"


@contextmanager
def _exclusive(folder: Path) -> Iterator[int]:
    """Hold the folder's lock, and give its file descriptor for dbt to inherit.

    The kernel frees it when the last holder of the descriptor is gone. So when we are killed and dbt lives on, the next
    attempt waits for that dbt, instead of running beside it on the same tables.
    """
    wait = settings().lock_wait_s
    with (private(folder) / "lock").open("w") as file:
        try:
            until(lambda: _try_lock(file.fileno()), wait, 0.1, "lock")
        except TransientError:
            raise Busy(
                f"a dbt process that nobody waits for still works in {folder} after {wait:g} s; end it, then run again"
            ) from None
        yield file.fileno()


def _try_lock(descriptor: int) -> bool | None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    return True


def models(manifest: Artifact) -> tuple[Model, ...]:
    """The models of a manifest, each after those that it depends on."""
    tests = _tests(manifest).values()
    nodes = {node["unique_id"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model"}
    names = {key: node["name"] for key, node in (nodes | manifest["sources"]).items()}
    order = TopologicalSorter(
        {key: [k for k in sorted(node["depends_on"]["nodes"]) if k in nodes] for key, node in sorted(nodes.items())}
    )
    return tuple(
        Model(
            name=nodes[key]["name"],
            description=nodes[key]["description"],
            path=PROJECT / nodes[key]["original_file_path"],
            columns=tuple(_column(column) for column in nodes[key]["columns"].values()),
            depends_on=tuple(sorted({names[parent] for parent in nodes[key]["depends_on"]["nodes"]})),
            tests=tuple(sorted((t for t in tests if t.model == nodes[key]["name"]), key=lambda t: (t.kind, t.name))),
        )
        for key in order.static_order()
    )


def _column(column: Artifact) -> Column:
    nullable = all(constraint["type"] != "not_null" for constraint in column["constraints"])
    return Column(column["name"], column["data_type"] or "", nullable, column["description"])


def _tests(manifest: Artifact) -> dict[str, DbtTest]:
    """All tests of a manifest by unique id. A test in a file of its own belongs to the last model that it names."""
    tests = {}
    for key, node in manifest["nodes"].items():
        if node["resource_type"] == "test":
            model = (node.get("attached_node") or node["depends_on"]["nodes"][-1]).rpartition(".")[2]
            severity: Literal["error", "warn"] = "warn" if node["config"]["severity"].lower() == "warn" else "error"
            tests[key] = DbtTest(node["name"], model, "data", severity, node["description"])
    for key, node in manifest["unit_tests"].items():
        tests[key] = DbtTest(node["name"], node["model"], "unit", "error", node["description"] or "")
    return tests


def _outcome(test: DbtTest, result: Artifact) -> Outcome:
    return Outcome(
        test,
        result["status"] == "pass",
        result["failures"] or 0,
        _one_line(result["message"] or ""),
        result["compiled_code"] or "",
    )


def _raise_if_stopped(
    process: subprocess.CompletedProcess[str],
    results: list[Artifact],
    tests: Mapping[str, DbtTest],
    folder: Path,
    password: str,
) -> None:
    if process.returncode < 0:
        raise TransientError(
            f"dbt was ended by {signal.Signals(-process.returncode).name} before it was done; run again"
        )
    # Interrupted it writes down what it has done until then, as if that was all; what failed, and nothing else, gives 1
    if process.returncode > 1 and (results or "KeyboardInterrupt" in process.stdout):
        raise TransientError("dbt was interrupted before it was done; run again")
    for result in results:
        node = result["unique_id"]
        if result["status"] == "error" or (result["status"] == "fail" and tests[node].kind == "unit"):
            name = tests[node].name if node in tests else node.rpartition(".")[2]
            raise _error(f"{node.partition('.')[0]} {name}: {_one_line(result['message'])}", folder, password)
    if not results:
        said = _last_error(process.stdout) or _one_line(process.stderr[-300:])
        raise _error(said or f"exit code {process.returncode}, without a word", folder, password)


_CONNECTION_LOST = (
    r"connection to server|closed the connection|terminating connection|the database system is|connection already closed"
    r"|could not (receive|send) data"
)


def _error(message: str, folder: Path, password: str) -> TriptychError:
    """The error that dbt's message is about: by class, because the class decides whether the step is tried again."""
    text = f"dbt: {message.replace(password, '***') if password else message}"
    if re.search(r"No space left on device|could not extend file", message):
        return DiskFull(f"{text}; make room there, then run again")
    if remedy := limit_reached(message):
        return DatabaseUnavailable(f"{text}; {remedy}")
    if re.search(r"deadlock detected|lock timeout", message):
        return Busy(f"{text}; another session holds a lock")
    if re.search(_CONNECTION_LOST, message):
        return DatabaseUnavailable(f"{text}; check that the server runs")
    return TransformFailed(f"{text}; the whole message is in {folder / 'dbt.log'}")


def _last_error(output: str) -> str:
    """The last thing that dbt complained of; what stands before the first time of day is not dbt's."""
    events = re.split(r"^\d\d:\d\d:\d\d  ", output, flags=re.MULTILINE)[1:]
    return _one_line(events[-1]) if events else ""


def _one_line(message: str) -> str:
    """What dbt's message says, without the heading that names the node, the line breaks and the file names."""
    lines = [line.strip() for line in message.splitlines()]
    told = [
        line
        for line in lines
        if line and not re.match(r"compiled code at|\^|> in macro|> called by|\w+ Error( in|$)", line)
    ]
    return " ".join(told or lines)[:400]
