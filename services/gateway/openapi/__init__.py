"""The gateway's description of itself, as OpenAPI 3.1: kept by hand in the YAML files here, one a concept.

| module | what |
|---|---|
| `parts` | puts the files together |
| `announced` | adds what workers have announced: each handler's input and output, and an example of a job |
| `samples` | makes an example of what a schema describes |
| `served` | the endpoint |

A new route is a new operation in one of the files: a test holds the files and the table of routes together, both ways.
"""
