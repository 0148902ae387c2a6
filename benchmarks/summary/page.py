"""The page: every section that there are results of, in one file that loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.folklore.claims import SUBJECTS
from benchmarks.folklore.results import recorded
from benchmarks.summary.blocks import TOOLS, file
from benchmarks.summary.data import Data
from benchmarks.summary.markup import Html, join, tag
from benchmarks.summary.sections.capabilities import capabilities
from benchmarks.summary.sections.chains import chains
from benchmarks.summary.sections.choice import choice
from benchmarks.summary.sections.claims import Claim, claims
from benchmarks.summary.sections.conformance import conformance
from benchmarks.summary.sections.costs import costs, floor
from benchmarks.summary.sections.curves import curves
from benchmarks.summary.sections.drills import drills
from benchmarks.summary.sections.guide import guide
from benchmarks.summary.sections.headline import headline
from benchmarks.summary.sections.limits import limits
from benchmarks.summary.sections.loads import race, strategies
from benchmarks.summary.sections.machine import machine
from benchmarks.summary.sections.months import months

TITLE = "Airflow, Dagster and Prefect on one pipeline"

LEAD = (
    "The same monthly pipeline (files of taxi trips into PostgreSQL, then dbt) runs on all three, each with its own "
    "services, and in plain Python. Each file has the trips of one month, and a month is the unit of run, of retry and "
    "of history. This page shows whether they produce the same tables, what each of them costs, and how to repeat the "
    "measurements."
)

TOOLS_OF = {"Airflow": ("airflow",), "Dagster": ("dagster",), "Prefect": ("prefect",), "All three": TOOLS}
"""The orchestrators that the claims of a subject are about; those about loading are about none."""

Section = Callable[[Data], Html | None]


def render(data: Data, found: Sequence[Claim] = ()) -> str:
    """Return the page of these results, with these claims."""
    sections: list[tuple[str, str, Section]] = [
        ("headline", "Results in short", headline),
        ("choice", "Which of the three", choice),
        ("capabilities", "Capabilities", capabilities),
        ("costs", "A backfill", costs),
        ("months", "Seconds of a month", months),
        ("floor", "The floor", floor),
        ("chains", "Time of a task", chains),
        ("curves", "Growth", curves),
        ("race", "Loading a month", race),
        ("strategies", "Load strategies", strategies),
        ("guide", "Observed answers", guide),
        ("conformance", "Reported bugs", conformance),
        ("drills", "Drills", drills),
        ("claims", "What people say", lambda _: claims(found)),
        ("machine", "Versions, machines", machine),
        ("limits", "Limits", limits),
    ]
    made = [(name, words, html) for name, words, section in sections if (html := section(data))]
    links = [(name, words) for name, words, _ in made]
    body = tag("body", _skip(), _header(data), tag("div", _contents(links), _main([html for *_, html in made]),
               class_="page"), _footer(), tag("script", Html(_file("page.js"))))  # fmt: skip
    return f"<!doctype html>\n{tag('html', _head(), body, lang='en')}\n"


def published(folder: Path | None = None) -> str:
    """Return the page of the committed results, or of those of a trial in a folder, on which no verdict rests."""
    return render(Data(folder), () if folder else known_claims())


def known_claims() -> Sequence[Claim]:
    """Return the claims that circulate, with what the recorded results say of them; none before they were checked."""
    try:
        found = recorded()
    except FileNotFoundError:
        return ()
    return [
        {
            "claim": claim.text,
            "where": claim.circulates,
            "verdict": claim.verdict,
            "figure": claim.evidence(found).figure,
            "command": claim.commands[0],
            "tools": TOOLS_OF.get(subject, ()),
        }
        for subject, claims in SUBJECTS.items()
        for claim in claims
    ]


def _file(name: str) -> str:
    return (Path(__file__).parent / name).read_text()


def _head() -> Html:
    # Nothing may be loaded: the browser itself refuses what a mistake of ours would ask for.
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", TITLE),
        tag("style", Html(_file("page.css"))),
    )


def _skip() -> Html:
    return tag("a", "Skip to the content", href="#main", class_="skip")


def _header(data: Data) -> Html:
    toggle = tag("button", "Dark", type="button", id="theme", hidden=True)
    return tag("header", tag("div", tag("p", "Triptych", class_="brand"), toggle, class_="bar"),
               tag("h1", TITLE), tag("p", LEAD, class_="lead"), _dated(data))  # fmt: skip


def _dated(data: Data) -> Html:
    """Say from when the data are, and where to read on."""
    days = data.days()
    when = f"Data of {days[0]}. " if len(set(days)) == 1 else f"Data of {days[0]} to {days[-1]}. " if days else ""
    return tag("p", when, "How to run all of it: ", file("README.md"), ".", class_="dated")


def _contents(links: Sequence[tuple[str, str]]) -> Html:
    items = [tag("li", tag("a", words, href=f"#{name}")) for name, words in links]
    return tag("nav", tag("ul", *items), aria_label="On this page")


def _main(sections: Sequence[Html]) -> Html:
    return tag("main", join(sections), id="main", tabindex=-1)


def _footer() -> Html:
    return tag(
        "footer",
        tag("p", "Generated by ", tag("code", "make report"), " from the JSON results in the repository, and never "
            "edited by hand. Every figure carries the expression over these files that it is the value of, in its "
            "attribute ", tag("code", "data-source"), "; a test computes each of them again. Links to files lead into "
            "the repository, where this page is in ", tag("code", "docs"), "."),
    )  # fmt: skip
