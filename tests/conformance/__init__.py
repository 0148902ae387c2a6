"""Faults that people reported of one orchestrator, asked of all of them: a folder for each case.

    <case>/case.py            CASE: question, report, right answer, what is expected of each, how it is asked
           pipelines.py       what can be started (`core.lab.protocol.further`)
           airflow_dags.py    the code that a user of each orchestrator writes: 10 to 25 lines, side by side
           dagster_defs.py
           prefect_flows.py

Where an orchestrator lacks the construct there is no file of it, and `Case.expected` names what it would have.

A new case is such a folder, and no change elsewhere. All cases share an orchestrator's services, so the names of
pipelines begin with the name of the case, and no two cases have an asset or an event of the same name.
`tests.conformance.cases` says what a case is and how a verdict comes about, `tests.conformance.__main__` is the
command, and docs/conformance.md the page.
"""
