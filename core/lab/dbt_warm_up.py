"""What the warm dbt server (`core.lab.dbt_server`) does before it serves: what is the same for every call.

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
"""What a build imports after it has begun: 50 modules, with what these import in turn."""


def warm_up(parse: Sequence[str]) -> None:
    """Run the dbt command `parse` twice, and compile each macro's template.

    The first parse fills dbt's caches; the second one fills those for reading back what the first has written. dbt
    keeps the templates under the macro's whole text, so the call that meets a changed macro compiles it again. A
    project that does not parse is served all the same: each call reports why.
    """
    dbtRunner().invoke([*parse, "--no-partial-parse"])
    manifest = dbtRunner().invoke(list(parse)).result
    for macro in manifest.macros.values() if manifest else ():
        template_cache.get_node_template(macro)
