"""What happens to a partitioned pipeline that somebody starts without a month?"""
