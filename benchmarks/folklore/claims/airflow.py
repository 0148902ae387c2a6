"""Claims about Airflow."""

from __future__ import annotations

from benchmarks.folklore.claim import FOLDER, PYTHON, Claim, Found, question
from benchmarks.folklore.results import Results
from benchmarks.harness.markdown import number

DAY_S = 24 * 3600

SAID_GAP_S = 4.0
"""The claim on the time between two tasks says four to six seconds."""

SAID_GB = 4.0
"""The claim on memory, in GB."""

SAID_RULES = 8
"""The claim on trigger rules says how many there are."""


def values(found: Results) -> tuple[int, int]:
    """Return how many kinds of value arrive unchanged as an argument, and how many were tried."""
    tried = found.answers("values", part="type", way="return value")
    return sum(row["airflow"] == "same" for row in tried), len(tried)


def xcom_size(found: Results) -> Found:
    """Read what became of a text of 20 MB."""
    cost = found.answer("values", part="size", value="20 MB")["airflow"]
    arrived = cost["answer"] == "same" and cost["database_kb"] > 48
    return Found(
        f"A text of 20 MB arrives unchanged. It takes {number(cost['seconds'])} s, and the metadata database grows by "
        f"{cost['database_kb']:,} KB."
        if arrived
        else f"A text of 20 MB: {cost['answer']}.",
        arrived,
    )


def passes_data(found: Results) -> Found:
    """Count the kinds of value that arrive."""
    same, tried = values(found)
    frame = found.answer("values", part="type", way="return value", value="DataFrame")["airflow"]
    rounded = found.answer("values", part="type", way="return value", value="decimal")["airflow"]
    return Found(
        f"{same} of {tried} kinds of value arrive unchanged, a pandas DataFrame among them. The others fail loudly, "
        f"but for two: a Decimal {rounded}, and a dict's integer keys become text. Dagster and Prefect hand on all "
        f"{tried}.",
        frame == "same" and 0 < same < tried,
    )


def in_parallel(found: Results) -> Found:
    """Read whether two runs overlapped on services without a container, and what executor is shipped."""
    answer = found.answer("limits", case="two runs, two slots")["airflow"]
    shipped = found.check("airflow_shipped")
    return Found(
        f"Two runs of one DAG ran {answer}, on services without a container. The executor that is shipped is the "
        f"{shipped['executor']}, with {shipped['parallelism']} tasks at a time.",
        answer == "together" and shipped["executor"] == "LocalExecutor" and shipped["parallelism"] > 1,
    )


def gap(found: Results) -> Found:
    """Read how long two tasks and the gap between them take."""
    seconds = found.answer("values", part="size", value="1 KB")["airflow"]["seconds"]
    bound = found.answer("events", about="latency", case="what bounds it")["airflow"]
    return Found(
        f"From the start of one task to the end of the next: {number(seconds)} s, the work of both included. What "
        f"bounds it is {bound}.",
        seconds < SAID_GAP_S - 1,
    )


def leader(found: Results) -> Found:
    """Read how the scheduler guards what it reads."""
    shipped = found.check("airflow_shipped")
    return Found(
        f"`use_row_level_locking` is {shipped['use_row_level_locking']} as shipped. The source of the scheduler and of "
        f'the other jobs locks rows in {shipped["queries_with_row_locks"]} places, and says "leader" in '
        f"{shipped['mentions_of_a_leader']}.",
        shipped["use_row_level_locking"] is True
        and shipped["mentions_of_a_leader"] == 0
        and shipped["queries_with_row_locks"] > 5,
    )


def single_point(found: Results) -> Found:
    """Read what the recorded test of a killed scheduler printed."""
    printed = str(found.answer("commands", name="dead_scheduler")["output"])
    passed = printed.splitlines()[-1].partition(",")[0]
    return Found(
        "The scheduler is killed in the middle of a backfill, and the lab starts another one: the backfill ends, with "
        f"the tables of the baseline ({passed}).",
        passed == "1 passed",
    )


def catchup(found: Results) -> Found:
    """Read the default."""
    default = found.check("airflow_shipped")["catchup_by_default"]
    return Found(f"`catchup_by_default` is {default} as shipped.", default is False)


def catchup_off(found: Results) -> Found:
    """Read what was started when a schedule without catch-up was turned on."""
    started = found.answer("dates", case="turned on, without catch-up: runs of dates that have passed")
    runs = started["airflow"]["runs"]
    return Found(
        f"Turned on without catch-up, the schedule of a past month started {runs} run at once. In Dagster it started "
        f"{started['dagster']['runs']}, in Prefect {started['prefect']['runs']}.",
        runs == 1,
    )


def logical_date(found: Results) -> Found:
    """Read which interval two runs had."""
    case = "by hand for the date 2024-05-01, the month of the interval before it"
    by_hand = found.answer("dates", case=case)["airflow"]
    backfilled = found.answer("dates", case="the past date 2024-06-01 of the same")["airflow"][0]
    return Found(
        f"In one DAG, a backfill's run with the logical date {backfilled['date']} has the interval that starts in "
        f"{backfilled['month']}. A run by hand with the logical date {by_hand['date']} has the one that starts in "
        f"{by_hand['month']}.",
        backfilled["date"] == backfilled["month"] and by_hand["date"] > by_hand["month"],
    )


def top_level(found: Results) -> Found:
    """Count the executions of a DAG file's top level."""
    parsed = found.check("airflow_parse")
    a_day = DAY_S / parsed["every_s"]
    return Found(
        f"{parsed['parses']} parses executed the top level {parsed['top_level_executions']} times, and the task's code "
        f"{parsed['task_executions']} times. As shipped a file is parsed every {parsed['every_s']:g} s: {a_day:,.0f} "
        "times a day.",
        parsed["top_level_executions"] == parsed["parses"] > 1 and parsed["task_executions"] == 0,
    )


def static(found: Results) -> Found:
    """Read how a list of months that is known at run time became tasks."""
    case = "one month has no file, one is refused once: "
    history = found.answer("dynamic", case=f"{case}history", mode="one-run")
    months = found.answer("dynamic", case=f"{case}months", mode="one-run")
    done = history["airflow"]
    return Found(
        f"{len(months['airflow'])} months that were a parameter of the run became mapped tasks: {done['runs']} run, "
        f"and {done['steps labeled 2024-03']} tasks with the label of a month. "
        f"{months['airflow']['2024-02'].capitalize()}: only the month without a file.",
        history["native"]["airflow"] == "native"
        and done["runs"] == 1
        and done["steps labeled 2024-03"] > 0
        and months["airflow"] == months["expected"],
    )


def rules(found: Results) -> Found:
    """Count the rules that were observed, beside those that are shipped."""
    asked = found.answers("trigger_rules")
    observed = {row["rule"] for row in asked}
    as_documented = sum(row["airflow"] == row["expected"] for row in asked)
    shipped = set(found.check("airflow_shipped")["trigger_rules"])
    return Found(
        f"There are {len(shipped)}. All of them were observed, and {as_documented} of {len(asked)} combinations of a "
        "rule with three upstreams ended as documented.",
        shipped == observed and len(shipped) > SAID_RULES and as_documented == len(asked),
    )


def sensors(found: Results) -> Found:
    """Count the processes that waiting runs hold."""
    held = {
        way: found.answer("dependencies", part="held", way=way)["airflow"]["processes"]
        for way in ("poll", "poll deferred")
    }
    waiting = found.answer("dependencies", part="held", way="poll")["airflow"]["runs that wait"]
    return Found(
        f"{waiting} runs that wait with a sensor hold {held['poll']} processes. The same {waiting} with a deferrable "
        f"sensor hold {held['poll deferred']}.",
        held["poll"] == waiting > held["poll deferred"] == 0,
    )


def reacts(found: Results) -> Found:
    """Read how soon a DAG that is scheduled on an asset is started."""
    rows = [row for row in found.answers("events", about="refreshes") if row["expected"] is not None]
    right = sum(row["airflow"] == row["expected"] for row in rows)
    late = found.answer("events", about="latency", case="until the refresh is created")["airflow"]
    return Found(
        f"A DAG that is scheduled on an asset has its run {number(late['median_s'])} s after the asset was updated "
        f"(median of {late['n']}). {right} of {len(rows)} cases with failures, restarts and bursts started exactly "
        "the right runs.",
        right == len(rows) and late["median_s"] < 5,
    )


def memory(found: Results) -> Found:
    """Read what all processes held at most."""
    idle, busy = (found.median("backfill", "peak_mb", orchestrator="airflow", turn=turn) for turn in ("idle", "load"))
    return Found(
        f"The services hold {number(idle / 1000)} GB when they are idle, and {number(busy / 1000)} GB with two "
        "months at a time, without PostgreSQL (proportional set size, medians).",
        busy < 1000 * SAID_GB / 2,
    )


CLAIMS = (
    Claim(
        "xcom-48-kb",
        "XCom is limited to 48 KB.",
        circulates="blog posts, answers on question-and-answer sites, interview lists",
        verdict="stale",
        meaning=(
            "A constant of that size stood in the code of Airflow 1 and 2. The advice is still right: the value "
            "is a row of the metadata database, and nothing warns."
        ),
        evidence=xcom_size,
        more=(question("values", "airflow"),),
    ),
    Claim(
        "airflow-passes-data",
        "Airflow can't pass data from one task to the next.",
        circulates="comparisons by vendors, conference talks",
        verdict="false",
        meaning=(
            "It can, and some values do not survive it. Hand on a path, a count, a digest, and keep the rows "
            "where they are."
        ),
        evidence=passes_data,
        more=(question("values", "airflow"),),
    ),
    Claim(
        "airflow-parallel",
        "Without Docker or Celery, Airflow runs one task at a time.",
        circulates="tutorials, answers on question-and-answer sites",
        verdict="stale",
        meaning="It was true of the SequentialExecutor with SQLite, which Airflow 2 shipped and Airflow 3 removed.",
        evidence=in_parallel,
        check="airflow_shipped",
        more=(question("limits", "airflow"),),
    ),
    Claim(
        "airflow-gap",
        "Airflow needs four to six seconds between two tasks.",
        circulates="benchmarks by vendors, comparisons, issue trackers",
        verdict="stale",
        meaning=(
            "It was measured with schedulers of earlier versions. The idle sleep is a setting: as shipped it adds up "
            "to a second to each gap, and a shorter one costs processor time."
        ),
        evidence=gap,
        more=(question("values", "airflow"),),
    ),
    Claim(
        "airflow-leader",
        "Several Airflow schedulers elect a leader, and the others stand by.",
        circulates="online courses, interview lists",
        verdict="false",
        meaning=(
            "All schedulers work at the same time, and row locks in the metadata database keep them apart: a row "
            "that one has locked is skipped by the others. This is read from the installed source; no second "
            "scheduler was started."
        ),
        evidence=leader,
        check="airflow_shipped",
    ),
    Claim(
        "airflow-single-point",
        "The scheduler is Airflow's single point of failure.",
        circulates="comparisons, conference talks, interview lists",
        verdict="depends",
        meaning=(
            "With one scheduler nothing new starts until it is back, so something must start it again. Nothing is "
            "lost, because all state is in the metadata database."
        ),
        evidence=single_point,
        more=(".venvs/lab/bin/pytest -q tests/contract/test_dead_services.py -k airflow",),
    ),
    Claim(
        "airflow-catchup",
        "`catchup` defaults to True.",
        circulates="interview lists, tutorials, answers on question-and-answer sites",
        verdict="stale",
        meaning="It did in Airflow 2. Say what you mean in each DAG, and no upgrade changes it.",
        evidence=catchup,
        check="airflow_shipped",
    ),
    Claim(
        "airflow-catchup-off",
        "With `catchup=False`, no run starts for a date that has passed.",
        circulates="tutorials, interview lists",
        verdict="false",
        meaning=(
            "The last complete interval is run once when the schedule is turned on, unless the DAG's `end_date` "
            "has passed."
        ),
        evidence=catchup_off,
        more=(question("dates", "airflow"),),
    ),
    Claim(
        "airflow-logical-date",
        "The logical date is the start of the run's data interval.",
        circulates="the documentation, interview lists",
        verdict="depends",
        meaning=(
            "It depends on who starts the run and on the timetable. A partition key says the month, and is the "
            "same for all."
        ),
        evidence=logical_date,
        more=(question("dates", "airflow"),),
    ),
    Claim(
        "airflow-top-level",
        "Code at the top level of a DAG file runs at each parse.",
        circulates="the documentation, lists of best practices, interview lists",
        verdict="true",
        meaning=(
            "So a query or a heavy import at the top is paid again and again, by no run at all. Put it into the task."
        ),
        evidence=top_level,
        check="airflow_parse",
    ),
    Claim(
        "airflow-static",
        "Airflow's DAGs are static: the number of tasks must be known before the run.",
        circulates="comparisons by vendors, conference talks",
        verdict="stale",
        meaning=(
            "It was true before dynamic task mapping came in Airflow 2.3. The shape of the graph is still "
            "declared; the number of its mapped tasks is not."
        ),
        evidence=static,
        more=(question("dynamic", "airflow"),),
    ),
    Claim(
        "airflow-eight-rules",
        "Airflow has eight trigger rules.",
        circulates="interview lists, online courses",
        verdict="stale",
        meaning=(
            "There were eight in the last releases of Airflow 1. The guide has [what each one "
            "did](guide/trigger_rules.md)."
        ),
        evidence=rules,
        check="airflow_shipped",
        more=(question("trigger_rules", "airflow"),),
    ),
    Claim(
        "airflow-sensors",
        "Sensors hog worker slots.",
        circulates="blog posts, conference talks, lists of best practices",
        verdict="depends",
        meaning=(
            "In the mode that is the default, yes. A deferrable sensor waits in the triggerer, and one with "
            '`mode="reschedule"` gives its slot back between two looks.'
        ),
        evidence=sensors,
        more=(question("dependencies", "airflow"),),
    ),
    Claim(
        "airflow-events",
        "Airflow only knows schedules, and can't react to data.",
        circulates="comparisons by vendors",
        verdict="stale",
        meaning="It was true before DAGs could be scheduled on datasets, which Airflow 3 calls assets.",
        evidence=reacts,
        more=(question("events", "airflow"),),
    ),
    Claim(
        "airflow-memory",
        "Airflow needs at least 4 GB of memory.",
        circulates="the documentation's quick start, tutorials",
        verdict="false",
        meaning=(
            "The quick start says so of its containers, which include Celery, Redis and a database. On one "
            "machine with the LocalExecutor it is far less, and still the most of the three."
        ),
        evidence=memory,
        more=(f"{PYTHON} -m benchmarks.orchestrators.backfill --on airflow --rounds 1 {FOLDER}",),
    ),
)
