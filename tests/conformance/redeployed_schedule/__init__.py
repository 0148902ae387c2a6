"""Has each tick of a schedule one run while the schedule is deployed again and again?"""
