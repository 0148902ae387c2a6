"""HTML from Python, safe by default: text is escaped, and only what `tag` made is taken as it is.

tag("p", "a < b, ", tag("b", "bold"), id="x")     <p id="x">a &lt; b, <b>bold</b></p>
"""

from __future__ import annotations

import html
from collections.abc import Iterable

_EMPTY = {"br", "circle", "input", "line", "link", "meta", "path", "rect"}
"""Elements without content."""

_BLOCKS = {
    "caption", "dd", "details", "div", "dl", "figcaption", "figure", "footer", "form", "g", "h1", "h2", "h3", "head",
    "header", "li", "link", "main", "meta", "nav", "p", "section", "svg", "table", "tbody", "text", "thead", "title",
    "tr", "ul",
}  # fmt: skip
"""Elements that end their line: a change of one figure is then a change of one line of the committed page."""


class Html(str):
    """Markup, which is not escaped again."""

    __slots__ = ()


Content = str | Html | None
"""What an element may hold: text, markup, or nothing."""


def escaped(content: Content) -> str:
    """Return text as it stands between tags; markup as it is."""
    if content is None:
        return ""
    return content if isinstance(content, Html) else html.escape(content, quote=False)


def tag(name: str, /, *contents: Content, **attributes: str | float | bool | None) -> Html:
    """Return an element. ``data_source`` becomes ``data-source``, ``class_`` ``class``; None and False are left out."""
    given = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    end = "\n" if name in _BLOCKS else ""
    if name in _EMPTY:
        # Within SVG, a parser of HTML takes only this form as an element without content.
        return Html(f"<{name}{given}/>{end}")
    return Html(f"<{name}{given}>{''.join(map(escaped, contents))}</{name}>{end}")


def _attribute(key: str, value: str | float | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    if isinstance(value, bool):
        return f" {name}" if value else ""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    # Only double quotes end the value, so the single ones of an expression stay readable.
    return f' {name}="{html.escape(text, quote=False).replace(chr(34), "&quot;")}"'


def join(contents: Iterable[Content], between: Content = "") -> Html:
    """Return contents one after the other."""
    return Html(escaped(between).join(map(escaped, contents)))
