"""The contract of storage on Firestore: raw gRPC and protobuf, with single operations grouped into few requests.

jobs  timers  catalogue  keys        one a repository: documents to values of ours (with job_codec, fields, writes)
    └── database                     single reads and writes, and the life of the connection
          ├── writer                 BatchWrite     ┐ grouped by departures; what waits is bounded by admission;
          ├── reader                 BatchGet       ┘ pending knows a write's fate
          ├── committer              Commit
          ├── queries                RunQuery
          └── connection, status, retry, limits, target, values, protobuf
"""

from shared.storage.firestore.catalogue import FirestoreCatalogue
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.jobs import FirestoreJobs
from shared.storage.firestore.keys import FirestoreKeys
from shared.storage.firestore.limits import Limits
from shared.storage.firestore.timers import FirestoreTimers

__all__ = [
    "FirestoreCatalogue",
    "FirestoreDatabase",
    "FirestoreJobs",
    "FirestoreKeys",
    "FirestoreTimers",
    "Limits",
]
