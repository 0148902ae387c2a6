"""Is a month refreshed again that was loaded again while its refresh was running?"""
