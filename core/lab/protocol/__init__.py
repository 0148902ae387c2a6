"""The runner protocol: how the lab drives an orchestrator that it never imports.

    python -m <orchestrator>_impl.lab.runner VERB REQUEST.json RESULT.json

This runs in the orchestrator's own environment. It reads the request, and writes the result under a temporary name that
it renames when the file is complete. A runner that leaves no result file has crashed: the end of its log is then the
message. While it works, it appends progress lines to ``RESULT.json.progress``; the lab ends it when none has come for
`Settings.stall_s`. Standard library only, because five environments import it.

Verbs
    describe   {}                -> Description     who this is, what it can do, its pipelines, the ports that it needs
    services   Endpoint          -> Services        what to run and start, in order; the runner itself starts no process
    ready      Endpoint          -> {}              returns when the services take work, or raises
    backfill   BackfillRequest   -> BackfillResult  runs the months through the orchestrator's own machinery

    start      StartRequest      -> {"run_id"}      starts one run, as a user does by hand, and does not wait for it
    start_many ManyRequest       -> {"run_ids"}     starts many runs so, with one client, without waiting for any
    in_turn    ManyRequest       -> {"runs", "wall_s"} starts many runs so, each once the one before it has ended
    observe    RunRequest        -> RunRecord       what the orchestrator recorded of a run; may wait for its end
    look_up    RunIdsRequest     -> RunList         what it recorded of many runs, less those that are gone
    runs       RunsRequest       -> RunList         the newest runs, whoever started them
    cancel     RunRequest        -> {}              asks the orchestrator to cancel a run, unless it has ended
    retry      RunRequest        -> {"run_id"}      runs again what failed in a run that has ended, as its page does
    delete     RunRequest        -> {}              deletes a run that has ended from the history, with what it returned
    limit      LimitRequest      -> {}              sets how many tasks at a time may use a pool of slots
    processes  ProcessesRequest  -> ProcessList     the living processes by role

    schedule   ScheduleRequest   -> {}              turns the schedule of a pipeline on, or pauses it
    catch_up   TicksRequest      -> {"run_ids"}     starts a run for each past date of a pipeline's schedule

A runner needs the first four. The lab asks for no verb that the runner lacks (`Description.verbs`): it says so instead.
"""

from core.lab.protocol import further
from core.lab.protocol.forks import ONE_THREAD, end_with_parent
from core.lab.protocol.message import Message
from core.lab.protocol.pipelines import TAXI_PIPELINE, Parameter, Pipeline, Value
from core.lab.protocol.ranges import TAXI_RANGE, run_range
from core.lab.protocol.records import (
    BackfillResult,
    Cause,
    MonthRecord,
    MonthState,
    ProcessList,
    ProcessRecord,
    Role,
    RunList,
    RunRecord,
    RunState,
    TaskRecord,
    TaskState,
    month_of_run,
    month_record,
)
from core.lab.protocol.requests import (
    BackfillRequest,
    LimitRequest,
    ManyRequest,
    Mode,
    ProcessesRequest,
    Request,
    RunIdsRequest,
    RunRequest,
    RunsRequest,
    ScheduleRequest,
    StartRequest,
    TicksRequest,
    Which,
)
from core.lab.protocol.scheduling import schedule_verbs
from core.lab.protocol.services import BALANCER, Description, Endpoint, Services, Step, balanced, service_of, several
from core.lab.protocol.serving import (
    KINDS,
    Progress,
    Verb,
    canceled_with_us,
    follow,
    looked_up,
    progress_path,
    read_result,
    serve,
    write_json,
)
from core.lab.protocol.single import run_verbs
from core.lab.protocol.tuning import Tuned, as_shipped, guards_as_shipped

__all__ = [
    "BALANCER",
    "KINDS",
    "ONE_THREAD",
    "TAXI_PIPELINE",
    "TAXI_RANGE",
    "BackfillRequest",
    "BackfillResult",
    "Cause",
    "Description",
    "Endpoint",
    "LimitRequest",
    "ManyRequest",
    "Message",
    "Mode",
    "MonthRecord",
    "MonthState",
    "Parameter",
    "Pipeline",
    "ProcessList",
    "ProcessRecord",
    "ProcessesRequest",
    "Progress",
    "Request",
    "Role",
    "RunIdsRequest",
    "RunList",
    "RunRecord",
    "RunRequest",
    "RunState",
    "RunsRequest",
    "ScheduleRequest",
    "Services",
    "StartRequest",
    "Step",
    "TaskRecord",
    "TaskState",
    "TicksRequest",
    "Tuned",
    "Value",
    "Verb",
    "Which",
    "as_shipped",
    "balanced",
    "canceled_with_us",
    "end_with_parent",
    "follow",
    "further",
    "guards_as_shipped",
    "looked_up",
    "month_of_run",
    "month_record",
    "progress_path",
    "read_result",
    "run_range",
    "run_verbs",
    "schedule_verbs",
    "serve",
    "service_of",
    "several",
    "write_json",
]
