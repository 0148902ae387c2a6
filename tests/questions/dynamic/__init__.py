"""The question: what is lost when a range of months is one mapped run, and not a run for each month."""
