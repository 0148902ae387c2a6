"""Does a backfill end well when a month of it fails once and is retried?"""
