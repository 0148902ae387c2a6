"""A run that starts another one, and does not wait for it."""

from core.lab.protocol import Parameter, Pipeline

PARENT, CHILD = "lost_answer", "lost_answer_child"

PIPELINES = [
    Pipeline(
        name=PARENT,
        tasks=["start_child"],
        main="start_child",
        month="none",
        parameters={"port": Parameter("Of Dagster, where its web server listens", default=0)},
    ),
    Pipeline(name=CHILD, tasks=["work"], main="work", month="none"),
]
