"""Is a join skipped when the only work before it was?"""
