"""Dagster's GraphQL API, as far as a backfill needs it."""

import re
from collections.abc import Mapping
from typing import Any

import httpx

from core.errors import TransientError, TriptychError
from core.lab.protocol import Endpoint
from core.waiting import PATIENCE_S, patiently

READY = """
{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } }
  workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError {
    __typename ... on PythonError { className message causes { message } } } } } } }
"""

PARTITIONS = """
query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) {
  __typename
  ... on AssetNode { partitionKeys }
  ... on AssetNotFoundError { message } } }
"""

LAUNCH = """
mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename
  ... on LaunchBackfillSuccess { backfillId }
  ... on Error { message } } }
"""

PROGRESS = """
query ($id: String!, $limit: Int!) { partitionBackfillOrError(backfillId: $id) {
  __typename
  ... on PartitionBackfill { status error { message } runs(limit: $limit) { id status creationTime tags { key value } } }
  ... on Error { message } } }
"""

CANCEL = """
mutation ($id: String!) { cancelPartitionBackfill(backfillId: $id) {
  __typename
  ... on Error { message } } }
"""

BACKFILLS = """
query ($limit: Int!) { partitionBackfillsOrError(limit: $limit) {
  __typename
  ... on PartitionBackfills { results { id tags { key value } } }
  ... on Error { message } } }
"""

RETRY = """
mutation ($params: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $params) {
  __typename
  ... on Error { message } } }
"""

RUN = """
query ($id: ID!) { runOrError(runId: $id) {
  __typename
  ... on Run {
    stepStats { stepKey status startTime endTime attempts { startTime }
      materializations { metadataEntries { label ... on TextMetadataEntry { text } ... on IntMetadataEntry { intValue }
        ... on JsonMetadataEntry { jsonString } } } }
    eventConnection { events { __typename
      ... on ExecutionStepFailureEvent { failureMetadata { description } error { message } }
      ... on RunFailureEvent { message }
      ... on AssetCheckEvaluationEvent { evaluation { success severity description } } } } }
  ... on Error { message } } }
"""


PASSING = re.compile(r"psycopg2|sqlalchemy|DB connection|user code server")
"""In an error's message: the metadata database or the code server was not there for the web server."""


class Client:
    """One web server. It bears with one that does not answer, or whose database does not, for `patience_s`.

    Every call raises `TransientError` after that, and `TriptychError` when Dagster refuses.
    """

    def __init__(
        self, endpoint: Endpoint, transport: httpx.BaseTransport | None = None, patience_s: float = PATIENCE_S
    ) -> None:
        self.url = f"http://127.0.0.1:{endpoint.ports['web']}/graphql"
        self.patience_s = patience_s
        # An answer takes some 30 ms on a quiet machine, and took more than a minute on one with 15 times its load.
        self._http = httpx.Client(timeout=60, transport=transport, trust_env=False)

    def query(self, text: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The `data` of the answer to what may be asked again."""
        return patiently(lambda: self._post(text, variables), self.patience_s)

    def one(self, text: str, variables: Mapping[str, Any], *expected: str) -> dict[str, Any]:
        """The only field of the answer to what may be asked again, when it is one of the types `expected`."""
        return patiently(lambda: self.once(text, variables, *expected), self.patience_s)

    def once(self, text: str, variables: Mapping[str, Any], *expected: str) -> dict[str, Any]:
        """As `one`, but raise `TransientError` at once: a mutation that is not answered may have been heard."""
        (field,) = self._post(text, variables).values()
        if field["__typename"] not in expected:
            raise self._refusal(f"Dagster answered {field['__typename']}", field.get("message", "no message"))
        found: dict[str, Any] = field
        return found

    def _refusal(self, what: str, message: str) -> TriptychError:
        """The error to raise for an answer that was not expected."""
        error = _fault(what, message)
        # A web server that has just restarted knows no assets until it finds the code server.
        cause = "" if isinstance(error, TransientError) else missing(self._post(READY, {}))
        return TransientError(f"{error} ({cause})") if cause else error

    def _post(self, text: str, variables: Mapping[str, Any] | None) -> dict[str, Any]:
        try:
            response = self._http.post(self.url, json={"query": text, "variables": variables or {}})
        except httpx.TransportError as error:
            raise TransientError(f"{self.url} does not answer ({error!r}): start Dagster's services again") from error
        if response.is_server_error:
            raise TransientError(f"{self.url} answered {response.status_code}: {response.text[:500]}")
        answer = response.json()
        if "errors" in answer:
            raise _fault("Dagster refused a query", answer["errors"][0]["message"])
        data: dict[str, Any] = answer["data"]
        return data


def _fault(what: str, message: str) -> TriptychError:
    """The error to raise for a `message` of Dagster's: one that may end by itself, or one that will not."""
    return (TransientError if PASSING.search(message) else TriptychError)(f"{what}: {message}")


def missing(answer: dict[str, Any]) -> str:
    """What keeps the services from taking work, by the answer to READY: empty when nothing does.

    Raise when waiting won't help.
    """
    for entry in answer["workspaceOrError"]["locationEntries"]:
        found = entry["locationOrLoadError"] or {}
        if found.get("className") not in (None, "DagsterUserCodeUnreachableError"):
            raise TriptychError(f"Dagster can't load its definitions: {_last_line(found)}")
        if found.get("__typename") != "RepositoryLocation":
            return "its code server does not answer"
    daemons = answer["instance"]["daemonHealth"]["allDaemonStatuses"]
    late = [one["daemonType"] for one in daemons if one["required"] and not one["healthy"]]
    return f"no sign of life from {', '.join(late)}" if late else ""


def _last_line(error: dict[str, Any]) -> str:
    """Of an error and its causes, the first cause: what went wrong in our code."""
    messages = [error["message"], *(cause["message"] for cause in error["causes"])]
    return str(messages[-1]).strip().splitlines()[-1]
