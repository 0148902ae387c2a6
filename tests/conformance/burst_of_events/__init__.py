"""Does whoever waits for events see each of four that come at once?"""
