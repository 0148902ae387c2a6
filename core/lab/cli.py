"""The command line. Exit codes: 0 done, 1 a month failed or a table differs, 2 a wrong call, 128+n ended by signal n.

Only what `--help` needs is imported at the top: the rest costs 0.5 s, and is imported by the command that uses it.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import PermanentError, TriptychError, UsageError, masked, printable
from core.lab.protocol import write_json
from core.month import Month, parse_months
from core.run import STRATEGIES, check_strategy
from core.settings import private, settings, state_folder

if TYPE_CHECKING:
    from core.lab.protocol import BackfillRequest, BackfillResult
    from core.lab.registry import Orchestrator
    from core.lab.session import Lab

DEMO_MONTHS = "2024-01..2024-03"

app = typer.Typer(
    name="triptych",
    help="One pipeline on Airflow, Dagster, Prefect and plain Python, proven to produce identical tables.",
    context_settings={"max_content_width": 110},
    add_completion=False,
    rich_markup_mode=None,  # plain help: rich costs 0.2 s of the 0.3 s that `--help` takes
    pretty_exceptions_enable=False,
)

Tools = Annotated[list[str] | None, typer.Argument(help="Which tools; without any, all of them.", metavar="[TOOL]...")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the same facts to this file.", metavar="FILE")]


@app.callback()
def triptych(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the traceback of an error (anywhere on the line).")
    ] = False,
) -> None:
    """Options for every command; `main` looks at -v itself."""


@app.command()
def demo() -> int:
    """Sample data, three months, all loaders, and the table that compares them."""
    from core.lab import display, registry

    tools = registry.select("all", settings())
    months = parse_months(DEMO_MONTHS)
    source = _source("sample", months)
    code = _backfill(tools, months, source, schema=None)
    display.out.print()
    return max(code, parity(schemas=",".join(tool.name for tool in tools)))


@app.command()
def backfill(
    months: Annotated[str, typer.Argument(help="2024-01..2024-12, or 2024-01,2024-03.")],
    on: Annotated[str, typer.Option("--on", help="Tools, comma separated, or all.", metavar="TOOL,...|all")],
    source: Annotated[
        str,
        typer.Option(
            help="sample (generated), tlc (the publisher), a folder, an http(s) prefix, or s3://, az://, gs:// with bucket "
            "and folder."
        ),
    ] = "sample",
    schema: Annotated[
        str | None,
        typer.Option(
            help="The schema that is written; by default each tool has its own. With several tools all write into this one."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="How many months at a time, per tool.")] = 2,
    strategy: Annotated[str, typer.Option(help=", ".join(STRATEGIES), metavar="NAME")] = "swap",
    force: Annotated[bool, typer.Option("--force", help="Load again what the ledger says is loaded.")] = False,
    accept_suspect: Annotated[
        bool,
        typer.Option(
            "--accept-suspect", help="Publish files that look wrong: another month's rows, none, zones missing."
        ),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail a month for a warning of a data test too.")] = False,
    json: JsonFile = None,
) -> int:
    """Load and transform months through one or more tools.

    There is no limit on the whole: a tool is ended when none of its months makes progress for TRIPTYCH_STALL_S (two hours).
    """
    from core.database import check_schema_name
    from core.lab import registry

    wanted = parse_months(months)
    tools = registry.select(on, settings())
    check_strategy(strategy)
    for tool in tools:
        check_schema_name(schema or tool.name)
    _check_target(json)
    flags = {"force": force, "accept_suspect": accept_suspect, "strict": strict}
    return _backfill(tools, wanted, _source(source, wanted), schema, strategy, flags, jobs, json)


@app.command()
def parity(
    schemas: Annotated[
        str | None, typer.Option("--schemas", help="Compare these instead of the loaders' own.", metavar="A,B,...")
    ] = None,
    json: JsonFile = None,
) -> int:
    """Compare the tables of every loader with the golden run, and with what the loader's own ledgers say."""
    from core.lab import display, registry
    from core.lab.parity import compare

    _check_target(json)
    names = list(registry.orchestrators(settings())) if schemas is None else _names(schemas)
    with _lab() as lab, lab.connect() as connection:
        found = compare(connection, names, registry.CONTROL)
    if json:
        _write(json, found.to_json())
    display.show(display.parity_table(found))
    display.say(display.parity_lines(found, registry.CONTROL))
    # A schema that was asked for by name must be there
    return 0 if found.as_recorded and (schemas is None or not found.absent) else 1


def _names(schemas: str) -> list[str]:
    """Return the comma-separated names. Raise `UsageError` when there is none, or one can't be a schema's."""
    from core.database import check_schema_name

    names = [name.strip() for name in schemas.split(",") if name.strip()]
    if not names:
        raise UsageError(f"--schemas {schemas!r} names no schema; write plain,airflow")
    return [check_schema_name(name) for name in names]


@app.command()
def up(tools: Tools = None) -> int:
    """Start services and leave them running until `triptych down`."""
    from core.lab import display, registry

    chosen = registry.select(",".join(tools) if tools else "all", settings())
    with _lab() as lab:
        lab.start(
            chosen, lambda name, running: display.note(f"{name:<9} {running.version:<8} {running.web or 'no services'}")
        )
        lab.keep()
    return 0


@app.command()
def status() -> int:
    """What runs, and where its web pages are."""
    from core.lab import display
    from core.lab.session import survey

    display.show(display.status_table(survey(settings())))
    return 0


@app.command()
def down(
    wipe: Annotated[
        bool,
        typer.Option(
            "--wipe",
            help="Also delete the state folder, with the embedded server's tables, and the tools' own databases.",
        ),
    ] = False,
) -> int:
    """End all services and runs, also those that a killed command left behind."""
    from core.lab import display
    from core.lab.session import end_all

    display.say(end_all(settings(), wipe) or ["nothing was running"])
    return 0


@app.command()
def ledger(schema: Annotated[str | None, typer.Option(help="Only this schema.")] = None) -> int:
    """What is loaded, by whom, from which bytes."""
    from core import ledger as records
    from core.database import check_schema_name
    from core.lab import display

    if schema is not None:
        check_schema_name(schema)
    with _lab() as lab, lab.connect() as connection:
        names, others = records.schemas(connection)
        wanted = [name for name in names if schema in (None, name)]
        found = {name: list(records.entries(connection, name)) for name in wanted}
    for name in others if schema is None else {schema} & set(others):
        display.note(f"{name}: its load_ledger is not ours, or not for us to read: left out")
    if not any(found.values()):
        where = "" if schema is None else f" in schema {schema!r}"
        raise UsageError(f"nothing is loaded{where}: run `triptych backfill` first")
    display.show(display.ledger_table(found))
    return 0


@app.command()
def doctor() -> int:
    """What is missing on this machine, and what mends it."""
    from core.lab import display
    from core.lab.doctor import examine

    findings = []
    for finding in examine(settings()):
        findings.append(finding)
        display.say([f"{finding.what:<20} {'ok     ' if not finding.mend else 'MISSING'} {finding.found}"])
        if finding.mend:
            display.say([f"{'':<20} mend:   {finding.mend}"])
    return 1 if any(finding.mend for finding in findings) else 0


def _backfill(
    tools: list[Orchestrator], months: Iterable[Month], source: str, schema: str | None, strategy: str = "swap",
    flags: Mapping[str, Any] = {}, jobs: int = 2, json: Path | None = None,
) -> int:  # fmt: skip
    from core.lab import display
    from core.lab.protocol import BackfillRequest

    names = [str(month) for month in months]
    requests: dict[Orchestrator, BackfillRequest] = {
        tool: BackfillRequest(names, source, schema or tool.name, strategy=strategy, jobs=jobs, **flags)
        for tool in tools
    }

    def report(results: dict[str, BackfillResult]) -> None:
        if json:  # first: what reads our output may have gone away
            _write(json, backfill_json(names, schema, requests, results))
        display.show(display.backfill_table(results))
        display.say(display.backfill_lines(results))

    with _lab() as lab:
        try:
            with display.Watch() as watch:
                results = lab.backfills(requests, watch)
        except KeyboardInterrupt:
            if any(record.state != "failed" for result in lab.results.values() for record in result.months):
                with suppress(OSError, PermanentError):  # the terminal may be gone
                    report(lab.results)
            raise
    report(results)
    return 0 if all(result.status == "success" for result in results.values()) else 1


def backfill_json(
    months: list[str],
    schema: str | None,
    requests: dict[Orchestrator, BackfillRequest],
    results: dict[str, BackfillResult],
) -> dict[str, object]:
    """What ``backfill --json`` writes. `schema` is null when each loader wrote into its own."""
    schemas = {tool.name: request.schema for tool, request in requests.items()}
    return {
        "months": months,
        "schema": schema,
        "loaders": {name: {**each.to_json(), "schema": schemas[name]} for name, each in results.items()},
    }


def _lab() -> Lab:
    from core.lab import display
    from core.lab.session import Lab

    return Lab(settings(), display.note)


def _source(source: str, months: Iterable[Month]) -> str:
    """The source as the runners take it; raise `UsageError` when there is no such folder. Sample files are made here."""
    if source == "sample":
        from core.lab import display, processes, sample

        folder = private(state_folder(settings().home) / "sample")

        def report(month: Month, _path: Path, written: bool, seconds: float) -> None:
            if written:
                display.note(f"sample    {month}  written in {seconds:.1f} s")

        with processes.interruptible():
            sample.ensure(folder, months, report=report)
        return str(folder)
    if source == "tlc":
        return source
    if "://" in source:
        from core.extract import sources

        sources.check(source)  # before a tool writes it into its history
        return source
    if not os.path.isdir(source):  # noqa: PTH112  # Path.is_dir() raises on a name that is too long
        raise UsageError(f"--source {source}: no such folder; write sample, tlc, a folder, or an http(s) prefix")
    return str(Path(source).resolve())


def _write(json: Path, data: object) -> None:
    try:
        write_json(json.resolve(), data)
    except OSError as error:
        raise PermanentError(f"--json {json}: {error.strerror}; the tables are as the ledger says") from error


def _check_target(json: Path | None) -> None:
    """Before hours of work: can the file be written at their end?"""
    if json is None:
        return
    folder = json.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"--json {json}: there is no folder {folder}")
    if json.exists() and not json.is_file():  # a device would be replaced by a file
        raise UsageError(f"--json {json}: this is no regular file; name one, or one that is not there yet")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--json {json}: you may not write to the folder {folder}")


def main(argv: list[str] | None = None) -> int:
    """Run a command, and turn whatever it raises into one line on stderr and an exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    verbose = bool({"-v", "--verbose"} & set(words))
    words = [word for word in words if word not in ("-v", "--verbose")]
    try:
        # Not app(words): that would turn `Interrupted` into exit code 130, whatever the signal, and say nothing
        command = typer.main.get_command(app)
        with command.make_context("triptych", words or ["--help"]) as context:
            return int(command.invoke(context) or 0)
    except typer.Exit as done:
        return done.exit_code
    except BrokenPipeError:  # `triptych ledger | head`
        sys.stdout = None  # else the interpreter complains when it flushes
        return 1
    except typer.TyperException as error:
        return _complain(error.format_message(), error.exit_code)
    except TriptychError as error:
        if verbose:
            print(masked(traceback.format_exc()), file=sys.stderr)
        return _complain(str(error), 2 if isinstance(error, UsageError) else 1)
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename:
            return _bug(error, verbose)
        return _complain(f"the output can't be written: {error.strerror}", 1)  # `triptych ledger > file`
    except Exception as error:
        return _bug(error, verbose)
    except KeyboardInterrupt as error:
        return _complain("interrupted: everything that it started has been ended", getattr(error, "code", 130))


def _bug(error: Exception, verbose: bool) -> int:
    if verbose:
        print(masked(traceback.format_exc()), file=sys.stderr)
    return _complain(f"{type(error).__name__}: {error} (this is a bug: run again with -v, and report it)", 1)


def _complain(message: str, code: int) -> int:
    try:
        print(f"triptych: {printable(masked(' '.join(message.split())))}", file=sys.stderr)
    except OSError:  # the terminal is gone
        return code
    return code


if __name__ == "__main__":
    sys.exit(main())
