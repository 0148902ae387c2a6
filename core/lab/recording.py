"""Pictures of `triptych demo` in a terminal, from a real run, for the README:  python -m core.lab.recording

docs/pictures/backfill.svg   the live display in the middle of the backfill
             /parity.svg     the end, with the parity table
             /demo.svg       the whole, as an animation

The run has a state folder of its own, so that it loads all months. A terminal emulator (pyte) sees what a person would
see, and rich draws it. The pictures hold text, and refer to no other file.
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from select import select
from typing import Any

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

from core.run import TASKS
from core.settings import ROOT

PICTURES = ROOT / "docs" / "pictures"

COLUMNS, LINES = 80, 36
"""The terminal: wide and high enough for the end of the command."""

EVERY_S = 0.5
"""How often the screen is looked at."""

FRAMES, FRAME_S = 12, 1.2
"""How many looks the animation has, and how long each is shown: under 150 KB, and 15 seconds."""

HOLD_S = 6.0
"""How long the animation shows its end before it begins again."""


def looks(words: Sequence[str], env: Mapping[str, str]) -> Iterator[Text]:
    """Run a command in a terminal; yield what its screen shows, when that has changed, and at the end.

    Raise `SystemExit` when the command fails.
    """
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (LINES, COLUMNS))
    with subprocess.Popen(words, env=env, stdin=its, stdout=its, stderr=its, start_new_session=True) as command:
        os.close(its)
        last, due, is_open = Text(), 0.0, True
        while is_open:
            if select([ours], [], [], EVERY_S)[0]:
                data = b""
                # Linux reports the end of a terminal as an error.
                with suppress(OSError):
                    data = os.read(ours, 1 << 16)
                stream.feed(data)
                is_open = bool(data)
            if not is_open or time.monotonic() > due:
                due, shown = time.monotonic() + EVERY_S, seen(screen)
                if shown != last:
                    yield shown
                last = shown
    os.close(ours)
    if command.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {command.returncode}:\n{last.plain}")


def seen(screen: pyte.Screen) -> Text:
    """Return what a screen shows, with colors and bold letters, without the empty lines at its end."""
    lines = []
    for number in range(screen.lines):
        cells = (screen.buffer[number][column] for column in range(screen.columns))
        runs = [("".join(cell.data for cell in run), style) for style, run in groupby(cells, _style)]
        lines.append(Text.assemble(*runs))
        lines[-1].rstrip()
    while lines and not lines[-1].plain:
        lines.pop()
    return Text("\n").join(lines)


def _style(cell: pyte.screens.Char) -> Style:
    # pyte has the names of an old terminal's colors.
    color = None if cell.fg == "default" else cell.fg.replace("brown", "yellow")
    return Style(color=color, bold=cell.bold)


def drawn(look: Text, name: str, **options: Any) -> str:
    """Return an SVG of a screen. `name` begins the names of its styles; `options` are those of rich's `export_svg`."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(look)
    svg = console.export_svg(title="triptych demo", unique_id=name, **options)
    # Its font and its advertisement are outside addresses; each machine has a monospaced font.
    svg = re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace")


def animated(frames: Sequence[Text]) -> str:
    """Return one SVG that shows the frames one after the other; only the last, to those who ask for no motion."""
    height = max(look.plain.count("\n") for look in frames)
    padded = [look + Text("\n" * (height - look.plain.count("\n"))) for look in frames]
    total = len(frames) * FRAME_S + HOLD_S
    styles, groups = ["g {visibility: inherit}"], []
    for number, look in enumerate(padded):
        name = f"f{number}"
        style, group = drawn(look, name, code_format="{styles}\0{matrix}").split("\0")
        # No text exceeds its line, so the frames need no limits.
        group = re.sub(r' clip-path="[^"]*"', "", group)
        groups.append(f'<g class="{name}">{group}</g>')
        shown, gone = (f"{100 * at * FRAME_S / total:.1f}% {{visibility: " for at in (number, number + 1))
        times = ["0% {visibility: hidden}"] * bool(number) + [f"{shown}visible}}"]
        times += [f"{gone}hidden}}"] * (number + 1 < len(frames))
        styles += [style, f"@keyframes {name} {{{' '.join(times)}}}"]
        styles += [f".{name} {{animation: {name} {total:.1f}s step-end infinite}}"]
    hidden = ", ".join(f".f{number}" for number in range(len(frames) - 1))
    styles += [f"@media (prefers-reduced-motion) {{g {{animation: none !important}} {hidden} {{visibility: hidden}}}}"]
    whole = drawn(padded[-1], "end")
    frame = whole[: whole.index('<g class="end-matrix">')].replace("</style>", "\n".join([*styles, "</style>"]))
    return "\n".join([frame, '<g class="end-matrix">', *groups, "</g></g></svg>\n"])


def write(seen: Sequence[Text]) -> None:
    """Write the pictures of a run of `triptych demo`, all of whose screens were `seen`."""
    # In the middle, most months run, with a step and an estimate to be seen.
    wanted = (" running ", " left", *TASKS)
    middle = max(seen, key=lambda look: sum(look.plain.count(word) for word in wanted))
    frames = [seen[number * (len(seen) - 1) // (FRAMES - 1)] for number in range(FRAMES)]
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / "backfill.svg").write_text(drawn(middle, "backfill"))
    (PICTURES / "parity.svg").write_text(drawn(seen[-1], "parity"))
    (PICTURES / "demo.svg").write_text(animated(frames))


def main() -> None:
    """Run `triptych demo` in a terminal, and write the pictures."""
    triptych = [sys.executable, "-m", "core.lab.cli"]
    with tempfile.TemporaryDirectory(prefix="triptych-pictures-") as home:
        unset = ("NO_COLOR", "COLUMNS", "LINES", "TRIPTYCH_DSN", "TRIPTYCH_DSN_FILE", "TRIPTYCH_IMPLS")
        env = {name: value for name, value in os.environ.items() if name not in unset}
        env |= {"TERM": "xterm-256color", "TRIPTYCH_HOME": home}
        try:
            write(list(looks([*triptych, "demo"], env)))
        finally:
            subprocess.run([*triptych, "down", "--wipe"], env=env, check=True, capture_output=True)


if __name__ == "__main__":
    main()
