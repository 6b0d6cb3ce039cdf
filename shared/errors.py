"""Every failure that crosses a boundary of `shared`, as one tree.

    SluiceError
    ├── ConfigError            the environment does not describe a runnable service
    ├── Unavailable            a dependency did not do its part in time; what was asked may be asked again
    │   ├── BrokerUnavailable      Pub/Sub
    │   │   └── PublishUnknown     the publish timed out: the message may still arrive
    │   ├── StoreUnavailable       Firestore
    │   │   └── CommitUnknown      the write timed out: it may have been applied
    │   └── CacheUnavailable       Redis
    ├── Overloaded             a bounded queue of ours is full; nothing was started
    └── Refused                the dependency understood and said no; asking again changes nothing
        ├── MessageRefused         Pub/Sub found the message invalid
        ├── DocumentRefused        Firestore found the document invalid
        └── DestinationNotAllowed  the egress rules forbid calling there

Adapters translate their libraries' exceptions into these and raise nothing else; services catch these and nothing else.
"""


class SluiceError(Exception):
    """Root of the tree; never raised itself."""


class ConfigError(SluiceError):
    """The environment does not describe a runnable service. The message lists every fault found."""


class Unavailable(SluiceError):
    """A dependency did not do its part before the deadline. Asking again is right."""


class BrokerUnavailable(Unavailable):
    """Pub/Sub could not be reached, and the message was not accepted."""


class PublishUnknown(BrokerUnavailable):
    """The publish timed out. The message may be in the topic, or may arrive later, or never."""


class StoreUnavailable(Unavailable):
    """Firestore could not be reached, and nothing was written."""


class CommitUnknown(StoreUnavailable):
    """The write timed out or its answer was lost. Read before anything else: it may have been applied."""


class CacheUnavailable(Unavailable):
    """Redis could not be reached. Nothing that matters is lost: the store knows."""


class Overloaded(SluiceError):
    """A bounded queue of this process is full. Nothing was started for this caller."""


class Refused(SluiceError):
    """The dependency understood the request and refused it. Asking again changes nothing."""


class MessageRefused(Refused):
    """Pub/Sub found the message invalid (too large, or malformed attributes)."""


class DocumentRefused(Refused):
    """Firestore found the document invalid (too large, or text that is not Unicode). Nothing was written."""


class DestinationNotAllowed(Refused):
    """The rules of `shared.egress` forbid calling there. The message says which rule, and never the address."""
