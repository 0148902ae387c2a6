"""The dbt project: its version, its models, and their lineage."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from core.errors import TransformFailed, room
from core.run import DATASET
from core.settings import settings
from core.transform import dbt
from core.transform.dbt_errors import last_event
from core.transform.manifest import Model, models

SHARED = "shared"
"""The folder of the models that all datasets share; each dataset has one of its own beside it, of its name."""


def version(dataset: str = DATASET) -> str:
    """Return a hash of the files that say what is built of `dataset`. When it changes, everything is built again."""
    digest = hashlib.sha256()
    for path in sorted(path for path in dbt.PROJECT.rglob("*") if path.suffix in (".sql", ".yml")):
        name = path.relative_to(dbt.PROJECT).as_posix()
        of_another = name.startswith("models/") and name.split("/")[1] not in (SHARED, dataset)
        if not (of_another or name.startswith(("target/", "logs/")) or path.name == ".user.yml"):
            digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()[:32]


def model_names(dataset: str = DATASET) -> tuple[str, ...]:
    """Return the names of the models of `dataset`, from their file names: no dbt is started."""
    folders = [dbt.PROJECT / "models" / name for name in (SHARED, dataset)]
    return tuple(sorted(path.stem for folder in folders for path in folder.rglob("*.sql")))


def lineage() -> tuple[Model, ...]:
    """Return the models of the default dataset and their tests, in an order in which they can be built.

    Those of every dataset have the same names and tests, so an orchestrator knows them too.

    Runs ``dbt parse`` when the project has changed since the last call, and connects nowhere. Raise `TransformFailed`
    when the project does not parse.
    """
    manifest = settings().home / "dbt" / f"manifest-{version()}.json"
    if not manifest.exists():
        _parse(manifest)
    return models(json.loads(manifest.read_text()))


def _parse(manifest: Path) -> None:
    folder = manifest.parent / "parse"
    # Locked: an orchestrator that loads its definitions in many processes at once parses once
    with room(folder), dbt.exclusive(folder) as lock:
        if manifest.exists():
            return
        process = dbt.run(dbt.Command(["parse"], folder, dbt.scratch_environment(), keep_open=[lock]))
        if process.returncode != 0:
            dbt.check_room(folder)
            raise TransformFailed(f"the dbt project does not parse: {last_event(process.stdout)}")
        (folder / "manifest.json").replace(manifest)
