"""Does the retry of a canceled run load the months that had not begun?"""
