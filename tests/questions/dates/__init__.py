"""Dates and schedules: which month does a run load, when does a schedule fire, and what is run again?"""
