"""The dbt models follow what is loaded: one build of all that is pending, tested, and published in one transaction.

    refresh    lock -> compare the ledgers -> nothing to do, or one dbt build, which one transaction publishes
    stale      why a refresh would build something of a month: the same comparison, without the build
    results    what the tests found in the builds so far
    lineage    the models and their tests, as the dbt project declares them; needs no database

`transform_ledger` records from which publication (fencing token and content digest) of each month, from which rows of
the lookup, and from which version of the dbt project the models were last built. A refresh compares it with what is
loaded now: whatever differs is pending. The load ledger is read BEFORE the build, and recorded in the transaction that
publishes the marts. A crash before that transaction leaves the marts as they were, and a load in between makes the next
refresh build once more; neither leaves a stale mart. Many months that landed are one build, and a refresh that waited
for another one's lock usually has nothing left to do.

A failed data test holds back no mart. One build serves all months that are pending, so a gate would let the bad data of
one month keep every other month, and the month's own good rows, from readers who need them, while the raw rows are
published anyway. So models are built from every value that a raw table can hold, tests run when all models are built,
and `check` fails for the months whose rows broke a test, and only for those.

    pending.py    what is pending, from the ledgers          build.py      one refresh
    marts.py      publishing, and the record of the marts    findings.py   what the tests found
    project.py    the dbt project: version, lineage          manifest.py   its models and tests, from dbt's manifest
    dbt.py        running one dbt command: the one seam      dbt_build.py  the command that builds and tests
    dbt_client.py the client of the warm dbt server          dbt_errors.py dbt's words as errors of ours
"""

from core.transform.build import Refresh, refresh, stale
from core.transform.dbt_build import BuiltModel
from core.transform.findings import Result, results
from core.transform.manifest import Column, Model
from core.transform.marts import rows
from core.transform.pending import PROJECT, ZONES, built_versions, loaded_versions
from core.transform.project import lineage, model_names

__all__ = [
    "PROJECT",
    "ZONES",
    "BuiltModel",
    "Column",
    "Model",
    "Refresh",
    "Result",
    "built_versions",
    "lineage",
    "loaded_versions",
    "model_names",
    "refresh",
    "results",
    "rows",
    "stale",
]
