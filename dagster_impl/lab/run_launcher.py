"""Dagster's default run launcher, which also tells run monitoring whether a run's process lives.

As shipped it does not: a run whose code server is killed takes its process along, and stays STARTED until
`max_runtime_seconds` are over, which is hours. `dagster-k8s` and `dagster-docker` have the same check of their workers.
"""

from dagster import DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value


class WatchedRunLauncher(DefaultRunLauncher):
    """The default launcher, with a check of the health of runs."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Return that run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return whether the code server that was asked to start a run has a process of it.

        A code server that has been restarted has none. One that does not answer is asked again at the next look: until
        then its runs may live.
        """
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "it has ended, or no code server was asked yet")
        try:
            answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id))
        except DagsterUserCodeUnreachableError:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "its code server does not answer")
        if deserialize_value(answer, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its code server has no process of it")
