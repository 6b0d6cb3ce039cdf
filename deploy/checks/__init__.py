"""What `make check` proves of `deploy/` and of the operator's documents, without a cloud, a cluster or a container.

`python -m deploy.checks` runs every check and says in a line what each found. A check reads files and returns faults.
"""
