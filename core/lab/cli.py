"""The commands. `core.lab.exits` says how they end.

Only what `--help` needs is imported at the top: the rest costs 0.5 s, and is imported by the command that uses it.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import PermanentError, TriptychError, UsageError
from core.lab import arguments, completion, exits
from core.lab.protocol import Mode
from core.month import Month, parse_months
from core.run import DATASET, HELP, JOBS, DatasetName, StrategyName, own_schema
from core.settings import default_source, settings
from core.settings import scale as parse_scale

if TYPE_CHECKING:
    from core.database import Connection
    from core.lab.migration import Plan, Step
    from core.lab.protocol import BackfillRequest, BackfillResult, RunRecord
    from core.lab.registry import Orchestrator
    from core.lab.running import Running
    from core.lab.runs import Runs
    from core.lab.session import Lab, ShowAll

DEMO_MONTHS = "2024-01..2024-03"

NEXT = (
    "next: `alias triptych=$PWD/.venvs/lab/bin/triptych` makes the command short",
    "      `triptych demo --keep` leaves the services running, with their web pages",
    "      `triptych psql` opens the tables",
    "      `triptych backfill 2024-04..2024-06 --on all` loads more months",
)

app = typer.Typer(
    name="triptych",
    help="One pipeline on Airflow, Dagster, Prefect and plain Python, proven to produce identical tables.",
    context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]},
    # Plain help: rich costs 0.2 s of the 0.3 s that `--help` takes.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Names = Annotated[
    list[str] | None,
    typer.Argument(
        help="Which orchestrators; without any, all of them",
        metavar="[ORCHESTRATOR]...",
        autocompletion=completion.orchestrators,
    ),
]
OnSeveral = Annotated[
    str,
    typer.Option(
        "--on",
        help="Orchestrators, comma separated, or all",
        metavar="ORCHESTRATOR,...|all",
        autocompletion=completion.orchestrator_list,
    ),
]
Source = Annotated[
    str,
    typer.Option(
        help=HELP["source"],
        default_factory=default_source,
        show_default="sample, or what TRIPTYCH_SOURCE says",
        autocompletion=completion.sources,
    ),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the same facts to this file; - is standard output", metavar="FILE")
]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"triptych {version('triptych')}")
        raise typer.Exit


@app.callback()
def triptych(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the traceback of an error (anywhere on the line)")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version, and end", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options for every command; `exits.run` handles -v itself."""


@app.command(epilog="Example: triptych demo")
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the services running, and print their web pages")] = False,
) -> int:
    """Load three months of sample data everywhere; compare the tables."""
    from core.lab import display, registry
    from core.lab.state import recorded

    chosen = registry.select("all", settings())
    months = parse_months(DEMO_MONTHS)
    code = _backfill(chosen, months, "sample", schema=None, keep=keep)
    display.out.print()
    code = max(code, parity(schemas=",".join(each.name for each in chosen)))
    if keep:
        _show_pages(recorded(settings(), [each.name for each in chosen]))
    else:
        for line in NEXT:
            display.note(line)
    return code


@app.command(epilog="Example: triptych backfill 2024-01..2024-06 --on dagster,plain")
def backfill(
    months: Annotated[str, typer.Argument(help="2024-01..2024-12, or 2024-01,2024-03")],
    on: OnSeveral,
    source: Source,
    schema: Annotated[
        str | None,
        typer.Option(
            help=f"{HELP['schema']}; by default each orchestrator has its own. With several, all write into it"
        ),
    ] = None,
    dataset: Annotated[DatasetName, typer.Option(help=HELP["dataset"])] = DATASET,
    jobs: Annotated[int, typer.Option(min=1, help="How many months at a time, per orchestrator")] = JOBS,
    mode: Annotated[
        Mode,
        typer.Option(
            "--as",
            help="A run for each month; or one run for all of them, in which a month has no history of its own",
        ),
    ] = "runs",
    strategy: Annotated[StrategyName, typer.Option(help=HELP["strategy"])] = "swap",
    force: Annotated[bool, typer.Option("--force", help=HELP["force"])] = False,
    accept_suspect: Annotated[bool, typer.Option("--accept-suspect", help=HELP["accept_suspect"])] = False,
    strict: Annotated[bool, typer.Option("--strict", help=HELP["strict"])] = False,
    json: JsonFile = None,
) -> int:
    """Load and transform months through one or more orchestrators.

    There is no limit on the whole: a backfill is ended when none of its months makes progress for TRIPTYCH_STALL_S (two
    hours).
    """
    from core.database import check_schema_name
    from core.lab import registry

    wanted = parse_months(months)
    chosen = registry.select(on, settings())
    for each in chosen:
        check_schema_name(schema or own_schema(each.name, dataset))
    arguments.check_json(json)
    arguments.check_mode(mode, chosen, jobs)
    parameters = {
        "strategy": strategy, "force": force, "accept_suspect": accept_suspect, "strict": strict, "dataset": dataset,
    }  # fmt: skip
    return _backfill(
        chosen, wanted, arguments.resolve_source(source, wanted), schema, parameters, jobs, json, mode=mode
    )


@app.command(epilog="Example: triptych run taxi_pipeline --on airflow --month 2024-01 --set force=true")
def run(
    pipeline: Annotated[str, typer.Argument(help="Its name on that orchestrator")],
    on: Annotated[
        str,
        typer.Option("--on", help="One orchestrator", metavar="ORCHESTRATOR", autocompletion=completion.orchestrators),
    ],
    month: Annotated[str | None, typer.Option(help="The month of the run, as in 2024-01")] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter, as in --set source=tlc; may be repeated", metavar="NAME=VALUE"),
    ] = None,
    cancel_after: Annotated[
        float | None, typer.Option("--cancel-after", min=0, help="Cancel the run after so many seconds")
    ] = None,
    json: JsonFile = None,
) -> int:
    """Start one run, as a person would by hand, and wait for its end.

    Ctrl-C cancels it. Parameters that are not set have the defaults of `triptych backfill`.
    """
    from core.lab import display, driver
    from core.lab.runs import Runs

    orchestrator = arguments.one_orchestrator(on, settings())
    arguments.check_json(json)
    description = driver.describe(orchestrator, settings())
    description.check_verb("start")
    chosen = description.pipeline(pipeline)
    values = arguments.run_parameters(chosen, on, month, arguments.pairs(given or []))
    with display.Watch() as watch, _lab(watch) as lab:
        if "dataset" in chosen.parameters:
            lab.check_holds([values["schema"]], values.get("dataset", DATASET))
        lab.start([orchestrator])
        record = _watched_run(Runs(lab, orchestrator), pipeline, values, month, cancel_after, watch)
    if arguments.write(json, record.to_json()):
        from core.lab import run_tables

        display.show(run_tables.run_table(record))
        display.say(run_tables.run_lines(record))
    return 0 if record.state in ("success", "skipped") else 1


@app.command(epilog="Example: triptych runs --on airflow,plain --limit 5")
def runs(
    on: OnSeveral = "all",
    pipeline: Annotated[str | None, typer.Option(help="Only runs of this pipeline")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many runs")] = 20,
    json: JsonFile = None,
) -> int:
    """Show the newest runs of all orchestrators, whoever started them.

    Nothing is started: an orchestrator whose services do not run is named.
    """
    from core.lab import display, registry, run_tables
    from core.lab.history import history

    chosen = registry.select(on, settings())
    arguments.check_json(json)
    found = history(settings(), chosen, pipeline, limit)
    if arguments.write(json, {"runs": [each.to_json() for each in found.runs]}):
        if found.runs:
            display.show(run_tables.runs_table(found.runs))
        else:
            display.say(["no runs"])
        display.say(run_tables.failures(found.runs))
    for line in [*found.silent, *found.failed]:
        display.note(line)
    return 1 if found.failed else 0


@app.command(epilog="Example: triptych parity --schemas old,new --tables orders,customers --months 2024-01..2024-03")
def parity(
    schemas: Annotated[
        str | None,
        typer.Option("--schemas", help="Compare these instead of the orchestrators' own", metavar="A,B,..."),
    ] = None,
    tables: Annotated[
        str | None,
        typer.Option("--tables", help="Compare these tables or views, whoever made them", metavar="A,B,..."),
    ] = None,
    months: Annotated[
        str | None, typer.Option("--months", help="Compare the rows of these months only", metavar="MONTHS")
    ] = None,
    month_column: Annotated[
        str | None,
        typer.Option(
            help="The date, timestamp or text that holds a row's month; by default source_month", metavar="COLUMN"
        ),
    ] = None,
    dataset: Annotated[
        DatasetName, typer.Option(help="Compare the orchestrators' own schemas of this dataset")
    ] = DATASET,
    json: JsonFile = None,
) -> int:
    """Compare tables across schemas, and with their ledgers.

    All tables that this pipeline has made, or any tables of any schemas of the database (docs/parity.md).
    """
    from core.lab import display, registry
    from core.lab.parity import compare
    from core.lab.relations import check_schemas
    from core.lab.scope import Scope

    known = registry.orchestrators(settings())
    own = {name: own_schema(name, dataset) for name in registry.of_the_checkout()}
    chosen = [*own.values()] if schemas is None else arguments.names(schemas, "--schemas")
    scope = Scope(
        None if tables is None else arguments.names(tables, "--tables"),
        # Other people's data may be older than the publisher's.
        None if months is None else parse_months(months, "0001-01"),
        month_column,
    )
    arguments.check_json(json)
    with _lab() as lab, lab.connect() as connection:
        check_schemas(connection, [name for name in chosen if name not in (*known, *own.values())])
        result = compare(connection, chosen, own[registry.BASELINE], scope)
    if arguments.write(json, result.to_json()):
        display.show(display.parity_table(result))
        display.say(display.parity_lines(result, own[registry.BASELINE]))
    # A schema that was named must exist.
    return 0 if result.as_recorded and (schemas is None or not result.absent) else 1


@app.command(epilog="Example: triptych migrate 2024-01..2024-12 --from airflow --to dagster --at 2024-07")
def migrate(
    months: Annotated[str, typer.Argument(help="2024-01..2024-12, or 2024-01,2024-03")],
    old: Annotated[
        str,
        typer.Option(
            "--from",
            help="The orchestrator that loads until then",
            metavar="ORCHESTRATOR",
            autocompletion=completion.orchestrators,
        ),
    ],
    new: Annotated[
        str,
        typer.Option(
            "--to",
            help="The orchestrator that loads from then on",
            metavar="ORCHESTRATOR",
            autocompletion=completion.orchestrators,
        ),
    ],
    at: Annotated[str, typer.Option(help="The month, or range of months, that both load at once", metavar="MONTHS")],
    source: Source,
    schema: Annotated[
        str | None,
        typer.Option(help="The schema that is migrated; by default migrated. NAME_shadow and NAME_baseline go with it"),
    ] = None,
    dataset: Annotated[DatasetName, typer.Option(help=HELP["dataset"])] = DATASET,
    json: JsonFile = None,
) -> int:
    """Change the orchestrator of a schema, with proof and a way back.

    The old one loads the months before --at; then both load --at at once, into two schemas. Unless these are identical,
    the command ends, and the new one has written nothing to the schema. Otherwise the new one loads the rest, the old
    one is asked for all months once more, and the tables are compared with the baseline's (docs/guide/migration.md).
    """
    from core.database import check_schema_name
    from core.lab import registry
    from core.lab.migration import Plan

    every, period = arguments.shadow_period(parse_months(months), at)
    one = arguments.one_orchestrator(old, settings(), "--from")
    other = arguments.one_orchestrator(new, settings(), "--to")
    if one == other:
        raise UsageError(f"--from {old} --to {new}: name two orchestrators")
    source = arguments.resolve_source(source, map(Month.parse, every))
    baseline = registry.orchestrators(settings())[registry.BASELINE]
    plan = Plan(one, other, baseline, every, period, source, schema or own_schema("migrated", dataset), dataset)
    for name in (plan.schema, plan.shadow, plan.proof):
        check_schema_name(name)
    arguments.check_json(json)
    return _migrate(plan, json)


@app.command(epilog="Example: triptych up airflow --open")
def up(
    names: Names = None,
    open_pages: Annotated[bool, typer.Option("--open", help="Open the web pages in your browser")] = False,
    scale: Annotated[
        str, typer.Option("--scale", help="Several processes of a service: airflow=scheduler:2", metavar="TEXT")
    ] = "",
    json: JsonFile = None,
) -> int:
    """Start services, and leave them running until `triptych down`."""
    from core.lab import display, registry

    arguments.check_json(json)
    chosen = registry.select(",".join(names) if names else "all", settings())
    wanted = parse_scale("--scale", scale)
    with display.Watch() as watch, _lab(watch, wanted) as lab:
        started = lab.start(chosen)
        lab.keep()
    _show_pages([started[each.name] for each in chosen], json)
    if open_pages:
        _open_pages([each.web for each in started.values() if each.web])
    return 0


@app.command(epilog="Example: triptych status --json -")
def status(json: JsonFile = None) -> int:
    """Show what runs, and where its web pages are."""
    from core.lab import display
    from core.lab.state import survey

    arguments.check_json(json)
    services = survey(settings())
    if arguments.write(json, {"services": [asdict(service) for service in services]}):
        display.show(display.status_table(services))
    return 0


@app.command(epilog="Example: triptych down --wipe")
def down(
    wipe: Annotated[
        bool,
        typer.Option(
            "--wipe",
            help="Also delete the state folder, with the embedded server's tables, and the orchestrators' databases",
        ),
    ] = False,
) -> int:
    """End all services and runs.

    Those that a killed command left behind end too.
    """
    from core.lab import display
    from core.lab.state import end_all

    display.say(end_all(settings(), wipe, display.note) or ["nothing was running"])
    return 0


@app.command(epilog="Example: triptych dsn --show-password")
def dsn(
    show_password: Annotated[bool, typer.Option("--show-password", help="Print the password too")] = False,
) -> int:
    """Print the DSN of the warehouse, without its password."""
    from core.lab import display, reach

    found = reach.find_dsn(settings())
    display.say([found if show_password else reach.without_secrets(found)])
    return 0


@app.command(context_settings={"ignore_unknown_options": True}, epilog="Example: triptych psql -c '\\dt plain.*'")
def psql(
    words: Annotated[
        list[str] | None, typer.Argument(help="Arguments of psql, as in -c '\\dn'", metavar="[ARG]...")
    ] = None,
) -> int:
    """Open psql on the warehouse.

    The embedded server runs for as long as psql does.
    """
    from core.lab import reach

    with _lab() as lab:
        code = reach.psql(settings(), lab.dsn, words or [])
        lab.check()
    return code


@app.command(epilog="Example: triptych logs airflow/scheduler --follow")
def logs(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="airflow, postgres, dbt, or one log, such as airflow/scheduler", metavar="[NAME]..."),
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines of each log")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added, until Ctrl-C")] = False,
) -> int:
    """Show the last lines of the services' logs.

    Of all logs, or of those that are named.
    """
    from core.lab import display
    from core.lab import logs as files

    chosen = files.find(settings(), names or [])
    for name, path in chosen.items():
        display.say([f"==> {name}: {path}", *files.last_lines(path, lines)])
    if follow:
        for name, line in files.follow(chosen):
            display.say([f"{name}: {line}" if len(chosen) > 1 else line])
    return 0


@app.command(epilog="Example: triptych ledger --schema plain")
def ledger(
    schema: Annotated[str | None, typer.Option(help="Only this schema")] = None,
    dataset: Annotated[DatasetName | None, typer.Option(help="Only this dataset")] = None,
    json: JsonFile = None,
) -> int:
    """Show what is loaded, by whom, from which bytes."""
    from core import ledger as records
    from core.database import check_schema_name
    from core.lab import display

    arguments.check_json(json)
    if schema is not None:
        check_schema_name(schema)
    with _lab() as lab, lab.connect() as connection:
        wanted = [name for name in _with_ledger(connection, schema) if schema in (None, name)]
        every = {name: list(records.entries(connection, name)) for name in wanted}
    entries = {name: [each for each in some if dataset in (None, each.dataset)] for name, some in every.items()}
    if not any(entries.values()):
        raise _nothing_loaded(dataset, schema)
    if arguments.write(json, {name: [entry.to_json() for entry in some] for name, some in entries.items()}):
        display.show(display.ledger_table(entries))
    return 0


@app.command(epilog="Example: triptych history 2024-01..2024-03 --schema airflow")
def history(
    months: Annotated[
        str | None, typer.Argument(help="2024-01..2024-12, or 2024-01,2024-03; without any, all that is loaded")
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            help="Only what these loaded; by default, whoever did",
            metavar="ORCHESTRATOR,...|all",
            autocompletion=completion.orchestrator_list,
        ),
    ] = None,
    dataset: Annotated[DatasetName | None, typer.Option(help="Only this dataset")] = None,
    schema: Annotated[str | None, typer.Option(help="Only this schema")] = None,
    json: JsonFile = None,
) -> int:
    """Show who loaded each month, in which run, and from which bytes.

    One line for each load that was published, the oldest first, also of those that another one has replaced: the
    ledger's record, joined with that of the orchestrator. Nothing is started: of an orchestrator whose services do not
    run, the runs are unknown, and it is named.
    """
    from core import ledger as records
    from core.database import check_schema_name
    from core.lab import display, loads, registry, run_tables

    arguments.check_json(json)
    if schema is not None:
        check_schema_name(schema)
    wanted = None if months is None else [str(month) for month in parse_months(months)]
    loaders = None if on is None else [each.name for each in registry.select(on, settings())]
    with _lab() as lab, lab.connect() as connection:
        names = _with_ledger(connection, schema)
        for name in names:
            if schema in (None, name) and records.has_history(connection, name) is False:
                display.note(f"{name}: you may not read its load_history: replaced loads are left out")
        every = loads.read(connection, names)
    chosen = [
        load
        for load in every
        if schema in (None, load.schema)
        and dataset in (None, load.entry.dataset)
        and (loaders is None or load.entry.loader in loaders)
        and (wanted is None or load.month in wanted)
    ]
    if not chosen and wanted is None:
        raise _nothing_loaded(dataset, schema, on)
    asked = [*registry.of_the_checkout()] if loaders is None else loaders
    found = loads.joined(settings(), chosen, every, wanted, registry.orchestrators(settings()), asked)
    if arguments.write(json, found.to_json()) and found.loads:
        display.show(run_tables.loads_table(found.loads))
    for line in [*run_tables.loads_lines(found), *found.failed]:
        display.note(line)
    return 1 if found.failed else 0


@app.command(epilog="Example: triptych conformance decimal_value --on airflow,dagster")
def conformance(
    cases: Annotated[
        list[str] | None, typer.Argument(help="Which cases; without any, all of them", metavar="[CASE]...")
    ] = None,
    on: OnSeveral = "all",
    repeat: Annotated[
        int | None, typer.Option(min=1, help="Ask each case so often; by default as often as the case says")
    ] = None,
    json: JsonFile = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also ask the cells that the file has, of this version and this code")
    ] = False,
    compare: Annotated[
        Path | None, typer.Option(help="Then print what differs from an older file", metavar="OLD.json")
    ] = None,
) -> int:
    """Reproduce reported bugs on all three, and say who gets it right.

    It needs the checkout, and leaves the services of the lab alone: each orchestrator gets services of its own, which
    end afterwards. docs/conformance.md has the cases, and what was observed.
    """
    from core.lab import development

    arguments.check_json(json)
    options = {"--on": on, "--repeat": repeat, "--json": json, "--compare": compare}
    words = [f"{name}={development.from_here(value)}" for name, value in options.items() if value is not None]
    development.become("tests.conformance", [*words, *(["--again"] if again else []), "--", *(cases or [])])


@app.command(epilog="Example: triptych doctor")
def doctor(json: JsonFile = None) -> int:
    """Show what is missing on this machine, and how to fix it."""
    from core.lab import display
    from core.lab.doctor import examine, lines

    arguments.check_json(json)
    findings = []
    for finding in examine(settings()):
        findings.append(finding)
        if json == arguments.STDOUT:
            continue
        display.say(lines(finding))
    arguments.write(json, {"findings": [asdict(finding) for finding in findings]})
    return 1 if any(finding.fix for finding in findings) else 0


def _with_ledger(connection: Connection, schema: str | None) -> list[str]:
    """Return all schemas whose ledger may be read. Of the others, name `schema`, or all for None."""
    from core import ledger as records
    from core.lab import display

    names, others = records.schemas(connection)
    for name in others if schema is None else {schema} & set(others):
        display.note(f"{name}: its load_ledger is not Triptych's, or you may not read it: left out")
    return names


def _nothing_loaded(dataset: str | None, schema: str | None, by: str | None = None) -> UsageError:
    """Return the error of a command that has nothing to show."""
    what = "nothing" if dataset is None else f"nothing of {dataset}"
    where = "" if schema is None else f" in schema {schema!r}"
    whose = "" if by is None else f" by {by}"
    return UsageError(f"{what} is loaded{where}{whose}: run `triptych backfill` first")


def _backfill(
    chosen: list[Orchestrator], months: Iterable[Month], source: str, schema: str | None,
    parameters: Mapping[str, Any] = {}, jobs: int = JOBS, json: Path | None = None, keep: bool = False,
    mode: Mode = "runs",
) -> int:  # fmt: skip
    from core.lab import display
    from core.lab.protocol import BackfillRequest

    names, dataset = [str(month) for month in months], parameters.get("dataset", DATASET)
    schemas = {each: schema or own_schema(each.name, dataset) for each in chosen}
    requests: dict[Orchestrator, BackfillRequest] = {
        each: BackfillRequest(names, source, schemas[each], jobs=jobs, mode=mode, **parameters) for each in chosen
    }

    def report(results: dict[str, BackfillResult]) -> None:
        # First: the program that reads our output may have ended.
        if arguments.write(json, backfill_json(names, schema, requests, results)):
            display.show(display.backfill_table(results))
            display.say(display.backfill_lines(results))

    with _lab() as lab:
        lab.check_holds(schemas.values(), dataset)
        try:
            with display.Watch({each.name: names for each in chosen}) as watch:
                results = lab.backfills(requests, watch)
            if keep:
                lab.keep()
        except KeyboardInterrupt:
            if any(record.state != "failed" for result in lab.results.values() for record in result.months):
                # The terminal may be gone.
                with suppress(OSError, PermanentError):
                    report(lab.results)
            display.note("what is loaded stays: the same command goes on with the rest")
            raise
    report(results)
    return 0 if all(result.status == "success" for result in results.values()) else 1


def _migrate(plan: Plan, json: Path | None) -> int:
    from core.lab import display
    from core.lab.migration import Migration, Warehouse, migration_json

    is_shown = json != arguments.STDOUT
    steps: list[Step] = []
    with _lab() as lab:

        def backfills(requests: Mapping[Orchestrator, BackfillRequest]) -> dict[str, BackfillResult]:
            with display.Watch({each.name: request.months for each, request in requests.items()}) as watch:
                return lab.backfills(requests, watch)

        warehouse = Warehouse(lab)
        warehouse.check(plan)
        try:
            for step in Migration(plan, backfills, warehouse).steps():
                steps.append(step)
                if is_shown:
                    _show_step(step)
            loaded = warehouse.loaded(plan.schema)
        except (KeyboardInterrupt, TriptychError):
            # The terminal may be gone.
            with suppress(OSError, PermanentError):
                arguments.write(json, migration_json(plan, steps))
            display.note(f"what is loaded stays in {plan.schema}: the same command goes on with the rest")
            raise
    if arguments.write(json, migration_json(plan, steps, loaded)):
        display.say(display.migration_closing(plan, steps, loaded))
    return 1 if steps[-1].problem else 0


def _show_step(step: Step) -> None:
    """Print what a step of a migration has done, and the whole comparison of two schemas that are not identical."""
    from core.lab import display

    display.say(display.migration_step(step))
    if step.parity and step.problem:
        display.show(display.parity_table(step.parity))
        display.say(display.parity_lines(step.parity, step.parity.baseline))


def _watched_run(
    runs: Runs, pipeline: str, values: Mapping[str, Any], month: str | None, cancel_after: float | None,
    show: ShowAll,
) -> RunRecord:  # fmt: skip
    """Start a run and show it until it has ended; cancel it on Ctrl-C, or when `cancel_after` seconds are over."""
    shown = partial(show, runs.orchestrator.name)
    run_id = runs.start(pipeline, values, month)
    try:
        record = runs.observe(pipeline, run_id, cancel_after, shown)
        if not record.has_ended:
            runs.cancel(pipeline, run_id)
            record = runs.observe(pipeline, run_id, None, shown)
    except KeyboardInterrupt:
        # The services may have ended too.
        with suppress(TriptychError):
            runs.cancel(pipeline, run_id)
        raise
    return record


def _show_pages(started: Iterable[Running], json: Path | None = None) -> None:
    """Print the addresses of services that stay, how to end them, and where their logs are."""
    from core.lab import display

    facts = [{"name": each.orchestrator, "version": each.version, "web": each.web} for each in started]
    if arguments.write(json, {"services": facts}):
        display.show(display.pages_table(started))
    if all(each["name"] in settings().endpoints for each in facts):
        return
    display.note("`triptych down` ends them; `triptych logs` shows what they say")
    display.note(f"logs: {settings().home}/*/logs")


def _open_pages(pages: Collection[str]) -> None:
    """Open the pages in the user's browser; say so when there is no browser, or no page."""
    import webbrowser

    from core.lab import display

    if not pages:
        display.note("--open: none of them has a web page")
    elif not all(webbrowser.open(page) for page in pages):
        display.note("no browser was found: open the addresses yourself")


def backfill_json(
    months: list[str],
    schema: str | None,
    requests: dict[Orchestrator, BackfillRequest],
    results: dict[str, BackfillResult],
) -> dict[str, object]:
    """Return what ``backfill --json`` writes. `schema` is null when each orchestrator wrote into its own."""
    schemas = {each.name: request.schema for each, request in requests.items()}
    return {
        "months": months,
        "schema": schema,
        "orchestrators": {name: {**each.to_json(), "schema": schemas[name]} for name, each in results.items()},
    }


def _lab(show: ShowAll | None = None, scale: Mapping[str, Mapping[str, int]] | None = None) -> Lab:
    from core.lab import display
    from core.lab.session import Lab

    known = settings()
    return Lab(replace(known, scale={**known.scale, **(scale or {})}), display.note, show)


def main(argv: list[str] | None = None) -> int:
    """Run a command, and return its exit code."""
    return exits.run(app, list(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    sys.exit(main())
