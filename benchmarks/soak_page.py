"""The page on kills, from the results of `benchmarks.soak`."""

from __future__ import annotations

from typing import Any

from benchmarks.markdown import AIMS, header, table, verdict

DAMAGE = ("lost_rows", "extra_rows", "partial_reads", "ledger_mismatches")


def page(result: dict[str, Any]) -> str:
    """The whole page."""
    parts = [
        header("What kills leave behind", "soak", result),
        "## Random kills\n",
        f"{result['kills']:,} loaders were ended by SIGKILL at a random instant (seed {result['seed']}), up to three at a time, by "
        f"all strategies, on the same three months, whose files were replaced meanwhile. A reader asked {result['polls']:,} times.\n",
        table(
            ["phase that the kill fell into", "kills"], [[row["phase"], f"{row['kills']:,}"] for row in result["rows"]]
        ),
        "## Against the aims\n",
        table(
            AIMS,
            [
                verdict("kills", result["kills"], 1000, at_least=True),
                *(_none(key.replace("_", " "), result[key]) for key in DAMAGE),
            ],
        ),
        *_contrast(result),
    ]
    return "\n".join(parts)


def _none(aim: str, found: int) -> list[str]:
    return [aim, "none", str(found), "met" if found == 0 else "missed"]


def _contrast(result: dict[str, Any]) -> list[str]:
    found = result["contrast"]
    if found is None:
        return []
    alone = found["without_kills"]
    return [
        "## The contrast\n",
        f"The usual pattern (delete the month by pickup date on one connection, pandas' `to_sql` on another) under "
        f"{found['kills']} kills of the same kind, then one clean pass.\n",
        table(
            ["", "lost rows", "extra rows"],
            [
                ["usual pattern, without a kill", str(alone["lost_rows"]), str(alone["extra_rows"])],
                ["usual pattern, after the kills", str(found["lost_rows"]), str(found["extra_rows"])],
                [f"this project, after {result['kills']:,} kills", str(result["lost_rows"]), str(result["extra_rows"])],
            ],
        ),
    ]
