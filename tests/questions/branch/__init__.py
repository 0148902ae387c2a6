"""When are a month's models built, and when are they skipped? Asked of the taxi pipeline itself."""
