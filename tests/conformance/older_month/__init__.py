"""Is the mart of an older month refreshed when that month is loaded again?"""
