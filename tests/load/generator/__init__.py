"""Makes load, in processes of its own: `python -m tests.load.generator`, started and told what to do by `generating`.

A plan comes in as one line of JSON on stdin, events go out as lines on stdout, the last one the result. Requests are
rendered before the clock starts, so that what is measured is never the generator.
"""
