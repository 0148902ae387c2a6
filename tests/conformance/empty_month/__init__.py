"""What becomes of a month without rows, and of one whose fee is NULL in every row?"""
