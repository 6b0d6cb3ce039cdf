"""`python -m deploy.local.administer topology apply -- keys seed`: commands of `sluice-admin` one after another.

In one process, for its start costs more than all that they do. Run by `system`; the first that fails ends it.
"""

import itertools
import sys
from collections.abc import Iterator, Sequence

from deploy.admin import cli


def commands(arguments: Sequence[str]) -> Iterator[list[str]]:
    """What stands between the separators."""
    for separator, words in itertools.groupby(arguments, "--".__eq__):
        if not separator:
            yield list(words)


def main() -> None:
    """Run the commands. Raises SystemExit as the first that fails would."""
    for words in commands(sys.argv[1:]):
        sys.argv = ["sluice-admin", *words]
        try:
            cli.main()
        except SystemExit as end:
            if end.code:
                raise


if __name__ == "__main__":
    main()
