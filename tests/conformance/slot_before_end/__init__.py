"""Does the next run wait for its slot until the canceled one has stopped working?"""
