"""Who tells of a failure, a late run and an old table, how soon, and what is told while the scheduler is dead?"""
