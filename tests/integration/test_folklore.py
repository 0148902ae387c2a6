"""The checks behind docs/claims.md find today what was recorded, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.folklore import checks
from benchmarks.folklore.claims import CLAIMS
from benchmarks.folklore.results import Results, recorded
from benchmarks.harness import measure
from core.settings import settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[measure.Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIPTYCH_HOME", str(tmp_path_factory.mktemp("state")))
        settings.cache_clear()
        with measure.server() as server:
            yield server
    settings.cache_clear()


@pytest.mark.parametrize("name", checks.CHECKS)
def test_a_check_finds_what_bears_its_claims_out(at: measure.Server, name: str) -> None:
    row = checks.run(name, at)
    assert row.keys() == recorded().check(name).keys()
    for claim in (each for each in CLAIMS if each.check == name):
        found = claim.evidence(Results([row]))
        assert found.bears_out, f"{claim.text} {claim.verdict}: {found.figure}"
    assert [path for path in Path(at.folder).iterdir() if path.name.startswith(("probe-", "sqlite-"))] == []
