"""Recovery: what is run again after a failure, from where and with which code, and what ends when it is told to end?"""
