"""The code location of the further pipelines: the modules ``dagster_defs`` that TRIPTYCH_PIPELINES leads to, as one.

Each module has a `defs`: a `dg.Definitions`, or a function decorated with `dg.definitions`. A pipeline is the job that
has its name. A run that is started by hand gets its parameters

- as the whole run config, flat: the job has a `dg.config_mapping`;
- or, if the job has partitions, as the config of the resource `parameters`, as in the taxi pipeline: Dagster takes no
  config mapping then.

Jobs run in the in-process executor, unless one has an `executor_def` of its own.
"""

import traceback
from importlib import import_module

import dagster as dg
from dagster._core.remote_representation.external_data import RepositorySnap

from core.errors import PermanentError
from core.lab.protocol import further
from dagster_impl.lab.services import MODULE


@dg.definitions
def defs() -> dg.Definitions:
    """Return what all modules define, merged; raise `PermanentError` naming the one that can't be loaded."""
    executor = dg.Definitions(executor=dg.in_process_executor)
    return dg.Definitions.merge(executor, *(loaded(module) for module in further.modules(MODULE)))


def loaded(module: str) -> dg.Definitions:
    """Return what a module defines, once it is clear that Dagster can load it."""
    try:
        found = import_module(module).defs
        definitions: dg.Definitions = found if isinstance(found, dg.Definitions) else found()
        dg.Definitions.validate_loadable(definitions)
        # The code server takes it of everything together: an error would not say where it comes from.
        RepositorySnap.from_def(definitions.get_repository_def())
    except Exception as error:
        # Dagster shows the last of its causes, which need not name the module; the log has all of it.
        traceback.print_exc()
        line = " ".join(str(error).split())
        raise PermanentError(f"{module} can't be loaded: {type(error).__name__}: {line}") from None
    return definitions
