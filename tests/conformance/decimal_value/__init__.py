"""Does a decimal reach the next task with all its digits?"""
