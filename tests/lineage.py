"""Lineage events as tests and questions see them: collected, validated, and reduced to a graph to compare."""

from __future__ import annotations

import enum
import json
import pkgutil
import re
import threading
import types
import typing
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import Any, Self

import attr
from openlineage.client import generated
from openlineage.client.event_v2 import RunEvent
from openlineage.client.generated import base
from openlineage.client.serde import Serde

Event = Mapping[str, Any]
"""An event as JSON."""


# --- collecting -----------------------------------------------------------------------------------------------------


class Collector:
    """An endpoint as Marquez is one: events are posted to it. It can refuse them, or leave them unanswered."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self.status = 201
        self.answers = threading.Event()
        self.answers.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def variables(self) -> dict[str, str]:
        """The environment that sends events here, however busy the machine is."""
        return {"OPENLINEAGE_URL": self.url, "TRIPTYCH_LINEAGE_S": "120"}

    def taken(self) -> list[Event]:
        """Return the events that have arrived since the last call."""
        events, self._events = self._events, []
        return events

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.answers.wait(60)
                if collector.status < 400:
                    collector._events.append(json.loads(body))
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


# --- validating -----------------------------------------------------------------------------------------------------

_CLASSES = {
    name: kind
    for module in pkgutil.iter_modules(generated.__path__)
    for name, kind in vars(import_module(f"{generated.__name__}.{module.name}")).items()
    if attr.has(kind) and name.endswith("Facet")
}
"""The typed class of each facet of the specification, by its name, with which the facet's `_schemaURL` ends."""


def validated(event: Event) -> RunEvent:
    """Return the event as typed classes of openlineage-python; raise `ValueError` or `TypeError` where it breaks them.

    No field is missing, unknown, or of another type, dates and UUIDs are what they should be, and each facet is the one
    that its schema names. A facet of a producer's own has only the fields of every facet to be checked.
    """
    typed = _structured(RunEvent, event, "event")
    assert isinstance(typed, RunEvent)
    if Serde.to_dict(typed).keys() != {key for key, value in event.items() if value is not None}:
        raise ValueError(f"fields were lost: {sorted(event)}")
    return typed


def _structured(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return _structured(next(each for each in arguments if each is not types.NoneType), value, where)
    if origin is list:
        return [_structured(arguments[0], each, f"{where}[{n}]") for n, each in enumerate(value)]
    if origin is dict:
        return {key: _structured(_facet(arguments[1], each), each, f"{where}.{key}") for key, each in value.items()}
    if attr.has(kind):
        return _object(kind, value, where)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(value)
    if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool) != (kind is bool):
        raise TypeError(f"{where} is no {kind.__name__}: {value!r}")
    return value


def _facet(declared: Any, value: Any) -> Any:
    """Return the class that a facet's schema names; the declared one when the specification has none of that name."""
    if not (isinstance(value, Mapping) and "_schemaURL" in value):
        return declared
    return _CLASSES.get(value["_schemaURL"].rpartition("/")[2], declared)


_OPEN = (base.RunFacet, base.JobFacet, base.DatasetFacet, base.InputDatasetFacet, base.OutputDatasetFacet)
"""What a facet is checked as when it is a producer's own: it may have any further field."""


def _object(kind: Any, value: Mapping[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(kind)
    known = {each.name: each for each in attr.fields(kind)}
    unknown = value.keys() - known.keys()
    if unknown and kind not in _OPEN:
        raise ValueError(f"{where}: {kind.__name__} has no {sorted(unknown)}")
    given = {
        name.lstrip("_"): _structured(hints[name], each, f"{where}.{name}")
        for name, each in value.items()
        if name in known and known[name].init
    }
    return kind(**given)


def unfinished(events: Iterable[Event]) -> dict[str, list[str]]:
    """Return the runs that break the rule of one START and one end, by job, with the states that they have."""
    states: dict[tuple[str, str], list[str]] = defaultdict(list)
    for event in events:
        states[event["run"]["runId"], event["job"]["name"]].append(event["eventType"])
    return {
        job: found
        for (_, job), found in states.items()
        if (found.count("START"), sum(found.count(end) for end in ("COMPLETE", "FAIL", "ABORT"))) != (1, 1)
    }


# --- comparing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Graph:
    """What the events of a backfill say, without names and ids that differ from run to run.

    A table is named without server, database and schema, a file by its name with ``{month}``, a job without its
    orchestrator. `edges` are ``dataset -> job`` and ``job -> dataset``. `states` counts how the runs of a step ended,
    by month; how often the models are built depends on which months landed together, so of their runs only the edges
    count.
    """

    edges: frozenset[str]
    schemas: Mapping[str, Sequence[tuple[str, str]]]
    states: Mapping[tuple[str, str | None], Mapping[str, int]]
    rows: Mapping[tuple[str, str | None], int] = field(default_factory=dict)
    """Of the raw tables, how many rows were written: by table, and month."""
    versions: Mapping[tuple[str, str | None], frozenset[str]] = field(default_factory=dict)
    tests: Mapping[tuple[str, str | None], frozenset[tuple[str, bool]]] = field(default_factory=dict)
    """Which tests of which table passed, by month."""


def month_of(event: Event) -> str | None:
    """Return the month of an event; None when it has no nominal time, or one that is no month."""
    nominal = event["run"].get("facets", {}).get("nominalTime", {})
    start = nominal.get("nominalStartTime", "")
    return start[:7] if re.fullmatch(r"\d{4}-\d{2}-01T00:00:00(\.0+)?(Z|\+00:00)", start) else None


def dataset_name(dataset: Mapping[str, Any]) -> str:
    """Return the name of a dataset in a `Graph`."""
    if dataset["namespace"].startswith("postgres"):
        return str(dataset["name"]).rpartition(".")[2]
    return re.sub(r"\d{4}-\d{2}", "{month}", str(dataset["name"]).rpartition("/")[2])


def job_name(event: Event) -> str:
    """Return the name of an event's job in a `Graph`."""
    return str(event["job"]["name"]).partition(".")[2] or str(event["job"]["name"])


def graph(events: Sequence[Event]) -> Graph:
    """Return the graph that the events draw."""
    edges, schemas = set(), dict[str, list[tuple[str, str]]]()
    states: dict[tuple[str, str | None], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    rows: dict[tuple[str, str | None], int] = {}
    versions: dict[tuple[str, str | None], set[str]] = defaultdict(set)
    tests: dict[tuple[str, str | None], frozenset[tuple[str, bool]]] = {}
    for event in events:
        job, month = job_name(event), month_of(event)
        is_model = event["job"].get("facets", {}).get("jobType", {}).get("jobType") == "MODEL"
        if not is_model:
            states[job, month][event["eventType"]] += 1
        for each in event["inputs"]:
            edges.add(f"{dataset_name(each)} -> {job}")
            if found := each.get("inputFacets", {}).get("dataQualityAssertions"):
                asserted = frozenset((test["assertion"], test["success"]) for test in found["assertions"])
                tests[dataset_name(each), month] = asserted
        for each in event["outputs"]:
            name, facets = dataset_name(each), each.get("facets", {})
            edges.add(f"{job} -> {name}")
            if "schema" in facets:
                schemas[name] = [(column["name"], column.get("type")) for column in facets["schema"]["fields"]]
            if "version" in facets:
                versions[name, month].add(facets["version"]["datasetVersion"])
            written = each.get("outputFacets", {}).get("outputStatistics", {}).get("rowCount")
            if written is not None and name.startswith("raw_"):
                rows[name, month] = rows.get((name, month), 0) + written
    return Graph(
        frozenset(edges),
        schemas,
        {key: dict(value) for key, value in states.items()},
        rows,
        {key: frozenset(value) for key, value in versions.items()},
        tests,
    )


STEPS = ("ingest_month", "transform", "check")
"""The steps that have a month."""

MODELS = {
    "stg_zones": ("raw_zones",),
    "stg_trips": ("raw_trips",),
    "fct_trips": ("stg_trips", "stg_zones"),
    "daily_borough_stats": ("fct_trips",),
}

GOLDEN = frozenset(
    f"{left} -> {right}".replace("@", "taxi_pipeline.")
    for left, right in [
        ("taxi_zone_lookup.csv", "@ingest_zones"),
        ("@ingest_zones", "raw_zones"),
        ("green_tripdata_{month}.parquet", "@ingest_month"),
        ("@ingest_month", "raw_trips"),
        ("raw_zones", "@transform"),
        ("raw_trips", "@transform"),
        *(("@transform", model) for model in MODELS),
        *((parent, f"@transform.{model}") for model, parents in MODELS.items() for parent in parents),
        *((f"@transform.{model}", model) for model in MODELS),
        *((model, "@check") for model in ("stg_trips", "fct_trips", "daily_borough_stats")),
    ]
)
"""The edges of the taxi pipeline, on whatever orchestrator."""
