"""What can keep Sluice from starting on this machine, each said so that the reader knows what to do next.

Raised throughout `deploy.local`; the runner prints the message alone, without a traceback, and exits with 1.
"""


class LocalError(Exception):
    """Root of the tree; its text is written for the person at the terminal."""


class SettingError(LocalError):
    """A value from the environment cannot be used."""


class MissingError(LocalError):
    """Something that must be installed is not."""


class PortTakenError(LocalError):
    """Another program listens where the gateway should."""


class StartFailedError(LocalError):
    """A process ended, or did not answer in time, while it was started."""


class BackendLostError(LocalError):
    """A backend that holds the state of this run died, so the run cannot go on."""
