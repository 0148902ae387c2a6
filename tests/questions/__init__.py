"""The same questions put to every orchestrator, through its own services: a folder for each question.

    <question>/pipelines.py       what can be started (`core.lab.protocol.further`)
               airflow_dags.py    the pipelines as a user of each orchestrator writes them
               dagster_defs.py
               prefect_flows.py
               question.py        QUESTION: the rows of its table, and how they are asked (`tests.questions.asking`)

`make guide` asks all of them and writes docs/guide/data/<question>.json; `make test` asks a slice of each and compares
it with these files. A question uses the verbs of the runner protocol only, so it can be put to a fourth orchestrator.
"""
