"""A run that starts another one in Dagster: an op asks the web server, with Dagster's own client."""

import dagster as dg
from dagster_graphql import DagsterGraphQLClient

from tests.conformance.lost_answer.pipelines import CHILD


class Server(dg.Config):
    """Where the web server listens."""

    port: int


# The client itself does not ask again.
@dg.op(retry_policy=dg.RetryPolicy(max_retries=1, delay=30))
def start_child(config: Server) -> None:
    """Start a run of the other job."""
    DagsterGraphQLClient("127.0.0.1", port_number=config.port).submit_job_execution(CHILD)


@dg.config_mapping
def parameters(given: Server) -> dg.RunConfig:
    """Return the run config: the launchpad asks for the port only."""
    return dg.RunConfig(ops={"start_child": given})


@dg.job(config=parameters)
def lost_answer() -> None:
    """Start a run of the other job."""
    start_child()


@dg.op
def work() -> None:
    """Do nothing."""


@dg.job
def lost_answer_child() -> None:
    """Do nothing."""
    work()


defs = dg.Definitions(jobs=[lost_answer, lost_answer_child])
