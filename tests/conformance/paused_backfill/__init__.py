"""Does a backfill run while the schedule is off?"""
