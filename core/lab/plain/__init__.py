"""The baseline: the pipeline in a plain Python loop, without an orchestrator, behind the same runner protocol."""
