"""Is a quarter rolled up again when one of its months is corrected?"""
