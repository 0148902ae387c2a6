"""A client of Dagster's GraphQL API."""

import re
from collections.abc import Mapping
from typing import Any, Self

import httpx

from core.errors import PermanentError, TransientError, TriptychError
from core.lab.protocol import Endpoint
from core.waiting import PATIENCE_S, patiently
from dagster_impl.lab.queries import READY

UNAVAILABLE = re.compile(r"psycopg2|sqlalchemy|DB connection|user code server")
"""What an error's message holds when the web server could not reach its metadata database or the code server."""


class Client:
    """One web server. A call is repeated for `patience_s` while the server, or what the server needs, does not answer.

    Every call raises `TransientError` after that, and `TriptychError` when Dagster refuses.
    """

    def __init__(
        self, endpoint: Endpoint, transport: httpx.BaseTransport | None = None, patience_s: float = PATIENCE_S
    ) -> None:
        self.url = f"{endpoint.address('web')}/graphql"
        self.patience_s = patience_s
        # An answer takes some 30 ms on a quiet machine, and took more than a minute on one with 15 times its load.
        self._http = httpx.Client(timeout=60, transport=transport, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def page(self, run_id: str) -> str:
        """Return the address of a run's own page."""
        return f"{self.url.removesuffix('/graphql')}/runs/{run_id}"

    def query(self, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the data of the answer to a document that may be sent more than once."""
        return patiently(lambda: self._post(document, variables), self.patience_s)

    def one(self, document: str, variables: Mapping[str, Any], *expected: str) -> dict[str, Any]:
        """Return the answer's only field, of one of the types `expected`. The document may be sent more than once."""
        return patiently(lambda: self.once(document, variables, *expected), self.patience_s)

    def once(self, document: str, variables: Mapping[str, Any], *expected: str) -> dict[str, Any]:
        """As `one`, but raise `TransientError` at once: a mutation without an answer may have been executed."""
        field: dict[str, Any]
        (field,) = self._post(document, variables).values()
        if field["__typename"] not in expected:
            # Only the answer to wrong run config has more than one.
            messages = [field.get("message"), *(each["message"] for each in field.get("errors", []))]
            said = "; ".join(filter(None, messages)) or "no message"
            raise self._refusal(f"Dagster answered {field['__typename']}", said)
        return field

    def _refusal(self, what: str, message: str) -> TriptychError:
        """Return the error to raise for an answer of an unexpected type."""
        error = _error(what, message)
        # A web server that has just restarted knows no assets until it reaches the code server.
        cause = "" if isinstance(error, TransientError) else missing(self._post(READY, {}))
        return TransientError(f"{error} ({cause})") if cause else error

    def _post(self, document: str, variables: Mapping[str, Any] | None) -> dict[str, Any]:
        try:
            response = self._http.post(self.url, json={"query": document, "variables": variables or {}})
        except httpx.TransportError as error:
            raise TransientError(f"{self.url} does not answer ({error!r}): start Dagster's services again") from error
        if response.is_server_error:
            raise TransientError(f"{self.url} answered {response.status_code}: {response.text[:500]}")
        try:
            answer = response.json()
        except ValueError:
            answer = {}
        if "errors" in answer:
            raise _error("Dagster refused a query", answer["errors"][0]["message"])
        if "data" not in answer:
            # Dagster's own refusals have errors.
            raise PermanentError(f"{self.url} is not Dagster's: it answered {response.status_code}")
        data: dict[str, Any] = answer["data"]
        return data


def _error(what: str, message: str) -> TriptychError:
    """Return the error to raise for Dagster's `message`: transient if its cause may go away by itself."""
    return (TransientError if UNAVAILABLE.search(message) else TriptychError)(f"{what}: {message}")


def missing(answer: dict[str, Any]) -> str:
    """Return what keeps the services from taking work, by the answer to `READY`; empty when nothing does.

    Raise `TriptychError` when waiting does not help.
    """
    for entry in answer["workspaceOrError"]["locationEntries"]:
        loaded = entry["locationOrLoadError"] or {}
        if loaded.get("className") not in (None, "DagsterUserCodeUnreachableError"):
            raise TriptychError(f"Dagster can't load its definitions: {_root_cause(loaded)}")
        if loaded.get("__typename") != "RepositoryLocation":
            return "its code server does not answer"
    daemons = answer["instance"]["daemonHealth"]["allDaemonStatuses"]
    late = [one["daemonType"] for one in daemons if one["required"] and not one["healthy"]]
    return f"no sign of life from {', '.join(late)}" if late else ""


def _root_cause(error: dict[str, Any]) -> str:
    """Return the last line of an error's first cause, which is what went wrong in our code."""
    messages = [error["message"], *(cause["message"] for cause in error["causes"])]
    return str(messages[-1]).strip().splitlines()[-1]
