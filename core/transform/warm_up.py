"""What dbt's warm server does before it serves (`core.transform.warm`): all that is the same for every call, and none of what differs.

Runs in dbt's environment, and imports no `core`.
"""

from __future__ import annotations

import multiprocessing.dummy
from collections.abc import Sequence

import dbt.task.build
import dbt_common.clients.agate_helper
from dbt.cli.main import dbtRunner
from dbt_common.clients.jinja import template_cache

LATE = (multiprocessing.dummy, dbt.task.build, dbt_common.clients.agate_helper)
"""What a build imports when it has begun: with what these import in their turn, 50 modules."""


def warm_up(parse: Sequence[str]) -> None:
    """Parse as the words `parse` say, and compile each macro's template.

    The first parse fills dbt's caches, a second one those of reading back what the first has written. The templates are kept
    by dbt, under the macro's whole text: a macro that changes is compiled anew by the call that meets it. A project that does not
    parse is served all the same: each call says why.
    """
    dbtRunner().invoke([*parse, "--no-partial-parse"])
    manifest = dbtRunner().invoke(list(parse)).result
    for macro in manifest.macros.values() if manifest else ():
        template_cache.get_node_template(macro)
