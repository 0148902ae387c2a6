"""Is a run whose process is gone declared dead, and one that is well left alone?"""
