"""The browser of the tests and of the pictures: the machine's own Chromium, headless. Nothing is downloaded.

with browser() as chromium, visit(chromium, web, {}) as page:
    page.goto(web)
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

PROGRAM = shutil.which("chromium")
"""Debian's name for it."""

MISSING = "no chromium here: `make browser` installs it, then run again"

WIDTH, HEIGHT = 1200, 750

DEADLINE_MS = 60_000
"""How long a page may take to show something, on a machine with every core busy."""

OPTIONS = [
    # No page may depend on another machine, and a test of ours must ask none.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    # Chromium's sandbox refuses to run as root, which a container's user often is. The pages are our own services'.
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
]


@contextmanager
def browser() -> Iterator[Browser]:
    """Yield a running Chromium."""
    expect.set_options(timeout=DEADLINE_MS)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=PROGRAM, args=OPTIONS)


@contextmanager
def visit(chromium: Browser, tolerated: Mapping[str, str]) -> Iterator[Page]:
    """Yield an empty page of a new user; at the end, raise `AssertionError` for errors on its console.

    `tolerated` are those that are the orchestrator's own, as regular expressions, each with its reason.
    """
    errors: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(f"{message.text} ({message.location['url']})")

    context = chromium.new_context(viewport={"width": WIDTH, "height": HEIGHT}, timezone_id="UTC", locale="en-US")
    context.set_default_timeout(DEADLINE_MS)
    page = context.new_page()
    page.on("console", hear)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    ours = [error for error in errors if not any(re.search(pattern, error) for pattern in tolerated)]
    assert ours == [], f"errors on the page's console: {ours}"
