"""Batches: many inputs for one handler, uploaded as one request, watched as one thing.

| module | what |
|---|---|
| `requests` | what is asked for: the JSON, or the query beside an upload of lines. Pure |
| `lines`, `inputs` | the items as they arrive, checked one by one and cut into chunks |
| `opening` | the batch that is asked for, and its document |
| `upload` | chunks to the broker, a few at a time, and what is remembered of them |
| `posting` | `POST /v1/batches`: the work of an Idempotency-Key, as for jobs |
| `states`, `reading` | a batch's state: read, waited for, listed |
| `items`, `outputs` | what became of its items: page by page, or all outputs as a stream |
| `cancel`, `delete` | ending it, and taking it away |
| `telling` | letting the cache and the aggregator know |
"""
