"""Runs handlers, authors' code, in child processes ("runners"), so that the worker stays in charge whatever they do.

The worker's own process holds leases, talks to the broker and the store, and answers health checks. A handler may loop
for ever, hold Python's lock in C, end its process or eat all memory; so none runs there, and the worker never even
imports their modules. What each module is for:

    engine      the worker's door: start, run a task, cancel it, drain, close
    shared      the runner that many `loop` and `thread` handlers share, watched and replaced
    solo        runners that take one task at a time: `process` handlers, and jobs that must run alone
    handle      one runner as the worker sees it: its tasks, their time limits, its end
    process     a runner's process and the connection to it; `child` starts it
    messages    what the two say to each other, over `frames`
    runner/     the child's side: the only place where handlers are imported and called

Nothing is imported here: a runner must start without the worker's half.
"""
