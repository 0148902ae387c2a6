"""What looks for leaked secrets finds them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.planted import PASSWORD, files, leaks

SPELT = {
    "as it is": PASSWORD, "a URL": f"postgresql://u:{quote(PASSWORD, safe='')}@h/d",
    "JSON": json.dumps({"dsn": f"x {PASSWORD} y"}),
    "Python": repr([PASSWORD]), "base64": base64.b64encode(PASSWORD.encode()).decode(),
    "base64 of more, 1": base64.b64encode(f"u:{PASSWORD}@host".encode()).decode(),
    "base64 of more, 2": base64.urlsafe_b64encode(f"u::{PASSWORD}@host".encode()).decode(),
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELT)
def test_a_leak_is_found_in_every_spelling(tmp_path: Path, spelling: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "log").write_text(f"before\n{SPELT[spelling]}\nafter")
    (tmp_path / "innocent").write_text("u:***@host")
    assert leaks([PASSWORD, "another"], files(tmp_path)) == [str(tmp_path / "folder" / "log")]
