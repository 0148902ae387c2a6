"""Does a slot become free when the run that holds it is canceled or killed?"""
