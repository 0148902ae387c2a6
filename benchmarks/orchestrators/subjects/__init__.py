"""The pipelines that the benchmarks run on each orchestrator beside the taxi pipeline (`core.lab.protocol.further`)."""
