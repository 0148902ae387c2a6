"""Does a failing data test keep the mart from being rebuilt, when that is another run?"""
