"""A step's facts as the typed events of OpenLineage's Python client, and the client that sends them."""

from __future__ import annotations

from typing import Any

import attr
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    OutputDatasetFacet,
    RunFacet,
    data_quality_assertions_dataset,
    dataset_version_dataset,
    error_message_run,
    input_statistics_input_dataset,
    job_type_job,
    nominal_time_run,
    output_statistics_output_dataset,
    parent_run,
    schema_dataset,
)
from openlineage.client.transport.http import HttpTransport

from core.lineage.facts import Column, Dataset, Facts
from core.settings import settings

PRODUCER = "urn:triptych:core"
"""Who tells: in each event, and in each of its facets."""


@attr.define
class TriptychRunFacet(RunFacet):
    """The run by the names that only Triptych has: its label and id in the ledger, and the schema that is written."""

    loader: str
    run_id: str
    target: str


class Client(OpenLineageClient):
    """OpenLineage's client, without its habit of writing to the environment of the process.

    1.54 copies OPENLINEAGE_URL there, under the names that a configuration has. But libpq reads the environment in
    other threads, at any time, and the copy would outlive a change of the URL.
    """

    def _alias_env_vars(self) -> None:
        pass


def client() -> OpenLineageClient:
    """Return OpenLineage's client for the transport that its variables name.

    An endpoint is asked once for each event, and not six times with growing pauses: whoever waits for it is a step that
    has ended.
    """
    found = Client()
    if isinstance(found.transport, HttpTransport):
        found.transport.config.retry = {"total": 0}
        found.transport.timeout = min(found.transport.timeout, settings().lineage_s)
    return found


def event(facts: Facts) -> RunEvent:
    """Return the event of some facts."""
    return RunEvent(
        eventType=RunState(facts.state),
        eventTime=facts.at,
        run=Run(facts.run_id, _run_facets(facts)),
        job=Job(_namespace(), facts.job.name, _job_facets(facts)),
        inputs=[_input(each) for each in facts.reads],
        outputs=[_output(each) for each in facts.writes],
        producer=PRODUCER,
    )


def _namespace() -> str:
    namespace = settings().lineage
    assert namespace
    return namespace


def _job_facets(facts: Facts) -> dict[str, Any]:
    kind = job_type_job.JobTypeJobFacet("BATCH", "TRIPTYCH", facts.job.kind, producer=PRODUCER)
    return {"jobType": kind}


def _run_facets(facts: Facts) -> dict[str, RunFacet]:
    facets: dict[str, RunFacet] = {}
    if facts.about:
        facets["triptych_run"] = TriptychRunFacet(**facts.about, producer=PRODUCER)
    if facts.span:
        start, end = (f"{day}T00:00:00Z" for day in facts.span)
        facets["nominalTime"] = nominal_time_run.NominalTimeRunFacet(start, end, producer=PRODUCER)
    if facts.parents:
        above, root = facts.parents[0], facts.parents[-1]
        facets["parent"] = parent_run.ParentRunFacet(
            parent_run.Run(above.run_id),
            parent_run.Job(_namespace(), above.job),
            parent_run.Root(parent_run.RootRun(root.run_id), parent_run.RootJob(_namespace(), root.job)),
            producer=PRODUCER,
        )
    if facts.error:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(facts.error, "Python", producer=PRODUCER)
    return facets


def _input(dataset: Dataset) -> InputDataset:
    facets: dict[str, InputDatasetFacet] = {}
    if dataset.bytes is not None:
        facets["inputStatistics"] = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
            size=dataset.bytes, fileCount=1, producer=PRODUCER
        )
    if dataset.tests:
        facets["dataQualityAssertions"] = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
            [
                data_quality_assertions_dataset.Assertion(
                    each.name, each.passed, name=each.name, severity=each.severity, description=each.description
                )
                for each in dataset.tests
            ],
            producer=PRODUCER,
        )
    return InputDataset(dataset.namespace, dataset.name, facets, facets=_dataset_facets(dataset))


def _output(dataset: Dataset) -> OutputDataset:
    facets: dict[str, OutputDatasetFacet] = {}
    if dataset.rows is not None:
        facets["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            rowCount=dataset.rows, producer=PRODUCER
        )
    return OutputDataset(dataset.namespace, dataset.name, facets, facets=_dataset_facets(dataset))


def _dataset_facets(dataset: Dataset) -> dict[str, DatasetFacet]:
    facets: dict[str, DatasetFacet] = {}
    if dataset.columns:
        fields = [_field(column, position) for position, column in enumerate(dataset.columns, 1)]
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields, producer=PRODUCER)
    if dataset.version:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(dataset.version, producer=PRODUCER)
    return facets


def _field(column: Column, position: int) -> schema_dataset.SchemaDatasetFacetFields:
    return schema_dataset.SchemaDatasetFacetFields(
        column.name, column.type, column.description or None, ordinal_position=position
    )
