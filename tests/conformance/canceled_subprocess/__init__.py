"""Does the program that a task has started end with its canceled run?"""
