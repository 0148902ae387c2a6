"""Does a run that holds a limit's slot get its second attempt after a long wait?"""
