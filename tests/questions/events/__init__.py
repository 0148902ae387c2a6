"""Does the refresh run because of the ingest: once for each, for its month, and across a restart?"""
