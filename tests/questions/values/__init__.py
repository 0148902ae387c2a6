"""Which values does a task hand to the next one, and what does a large one cost?"""
