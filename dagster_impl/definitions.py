"""The code location: everything that Dagster finds in `defs/`."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Return the assets, the checks, the run parameters and the executor."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
