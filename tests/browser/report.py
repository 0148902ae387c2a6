"""The page of all results, docs/report.html, as a reader opens it: from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page

NAME = "report"
"""What `tests.browser.pictures` calls it, beside the orchestrators."""

PHONE = 320
"""The width of the narrowest phone, in pixels."""

Scheme = Literal["light", "dark"]

LOOKS: Mapping[str, tuple[int, int, Scheme]] = {
    "light": (1200, 1560, "light"),
    "dark": (1200, 1560, "dark"),
    "phone": (PHONE, 640, "light"),
}
"""The pictures: the width and height of the window, and the theme that the reader's system asks for."""


def opened(page: Page, path: Path, look: str) -> None:
    """Open the page as in one of `LOOKS`."""
    width, height, scheme = LOOKS[look]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    page.goto(path.as_uri())
