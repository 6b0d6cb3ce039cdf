"""The contract of storage on Firestore: raw gRPC and protobuf, with single operations grouped into few requests.

jobs  job_lists  dead_letters  timers  shard_leases  idempotency  catalogue  keys  queues     one a repository
endpoints  deliveries  leases  batches  statistics
    └── database                     single reads and writes, and the life of the connection
          ├── writer                 BatchWrite     ┐ grouped by batcher; what waits is bounded by admission;
          ├── reader                 BatchGet       ┘ pending knows a write's fate
          ├── committer              Commit
          ├── queries                RunQuery, and BatchGet of some fields
          └── connection, status, retry, limits, target, values, protobuf
"""

from shared.storage.firestore.batches import FirestoreBatches, FirestoreChunks
from shared.storage.firestore.catalogue import FirestoreCatalogue
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.dead_letters import FirestoreDeadLetters
from shared.storage.firestore.deliveries import FirestoreDeliveries
from shared.storage.firestore.endpoints import FirestoreEndpoints, FirestoreHealths, FirestoreTenantHooks
from shared.storage.firestore.idempotency import FirestoreIdempotency
from shared.storage.firestore.job_lists import FirestoreJobLists
from shared.storage.firestore.jobs import FirestoreJobs
from shared.storage.firestore.keys import FirestoreKeys
from shared.storage.firestore.limits import Limits
from shared.storage.firestore.queues import FirestoreQueueControls
from shared.storage.firestore.shard_leases import FirestoreShardLeases
from shared.storage.firestore.statistics import FirestoreStatistics
from shared.storage.firestore.timers import FirestoreTimers

__all__ = [
    "FirestoreBatches",
    "FirestoreCatalogue",
    "FirestoreChunks",
    "FirestoreDatabase",
    "FirestoreDeadLetters",
    "FirestoreDeliveries",
    "FirestoreEndpoints",
    "FirestoreHealths",
    "FirestoreIdempotency",
    "FirestoreJobLists",
    "FirestoreJobs",
    "FirestoreKeys",
    "FirestoreQueueControls",
    "FirestoreShardLeases",
    "FirestoreStatistics",
    "FirestoreTenantHooks",
    "FirestoreTimers",
    "Limits",
]
