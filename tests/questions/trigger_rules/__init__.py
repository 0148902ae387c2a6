"""When does a task run, by how the three tasks before it ended?"""
