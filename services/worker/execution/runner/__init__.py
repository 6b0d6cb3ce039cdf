"""The child's side: the only process in which handlers are imported and called.

__main__    its program: settle in, load, say what was loaded, serve until the connection ends
hygiene     what a runner must be before any of the authors' code runs: tied to its worker, silent, bounded
output      standard output and error, line by line and bounded
server      the worker's messages in, outcomes out
attempt     one run: parse the input, call the handler, render the output
outputs     what a reducer reads, asked of the worker page by page
stepping    marks whose step holds the loop
reporting   progress and chunks, at a rate that the worker can bear
failures    an `Ended` from whatever a handler raised
"""
