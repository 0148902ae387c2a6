"""The code location of the further pipelines: the modules ``dagster_defs`` that TRIPTYCH_PIPELINES leads to.

Each module has a `defs`: a `dg.Definitions`, or a function decorated with `dg.definitions`. It becomes a repository of
its own, named as the module's folder: the names of ops and resources, and the keys of assets, are those of one module.
A pipeline is the job that has its name. A run that is started by hand gets its parameters

- as the whole run config, flat: the job has a `dg.config_mapping`;
- or, if the job has partitions, as the config of the resource `parameters`, as in the taxi pipeline: Dagster takes no
  config mapping then.

Jobs run in the in-process executor, unless the module or the job has another.
"""

import traceback
from functools import cache
from importlib import import_module

import dagster as dg
from dagster._core.remote_representation.external_data import RepositorySnap

from core.errors import PermanentError
from core.lab.protocol import further
from dagster_impl.lab.services import MODULE


@cache
def repository(module: str) -> dg.RepositoryDefinition:
    """Return what a module defines, once it is clear that Dagster can load it; raise `PermanentError` naming it."""
    try:
        found = import_module(module).defs
        return named(module.split(".")[-2], found if isinstance(found, dg.Definitions) else found())
    except Exception as error:
        # Dagster shows the last of its causes, which need not name the module; the log has all of it.
        traceback.print_exc()
        line = " ".join(str(error).split())
        raise PermanentError(f"{module} can't be loaded: {type(error).__name__}: {line}") from None


def named(name: str, defs: dg.Definitions) -> dg.RepositoryDefinition:
    """Return the definitions as a repository that has a name: a code location has one that has none, or several."""
    made = dg.create_repository_using_definitions_args(
        name, defs.assets, defs.schedules, defs.sensors, defs.jobs, defs.resources,
        defs.executor or dg.in_process_executor, defs.loggers, defs.asset_checks,
    )  # fmt: skip
    # What the code server takes of all repositories: an error would not say where it comes from.
    RepositorySnap.from_def(made)
    return made


def modules() -> dict[str, str]:
    """Return the modules by the name that their repository has in this one."""
    return {f"repository_{module.split('.')[-2]}": module for module in further.modules(MODULE)}


# The code server looks for all repositories here. A run asks for its own by name, and imports no other's module.
def __dir__() -> list[str]:
    return [*globals(), *modules()]


def __getattr__(name: str) -> dg.RepositoryDefinition:
    if name not in modules():
        raise AttributeError(name)
    return repository(modules()[name])
