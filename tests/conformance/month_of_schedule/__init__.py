"""Which month does a monthly schedule load?"""
