"""``python -m prefect.engine`` kept warm: a resident process has imported what a run needs, and forks for each run.

Importing Prefect, Arrow, and the flows is most of what a small month costs. Three roles:

    __main__    the engine: imported, with one thread, no event loop, no client, and no connection. It only forks
    supervisor  one for each run, forked from the engine: reads the request, forks the run, and reports its end
    client      the command that the worker starts: it stands for the run, and ends as the run ends

A request is read in a process of its own, so none can block another. A supervisor outlives the engine, so that the
engine's death ends no run; the runs after it start cold. What ends a client or a supervisor ends its run.
"""
