r"""Two branches in a row. The second one skips the work, and both joins wait for the first branch and the work.

first ----> second ----> dead_end (chosen)
  | \          \-------> work (not chosen) ----> join, buffered_join
  |  \-> buffer (not chosen) ------------------> buffered_join
  \--------------------------------------------> join
"""

from core.lab.protocol import Pipeline

PIPELINES = [
    Pipeline(
        name="join_after_branch",
        tasks=["first", "second", "dead_end", "work", "join", "buffer", "buffered_join"],
        main="join",
        month="none",
    )
]
