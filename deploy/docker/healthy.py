"""Docker's health check of every service's image: is the service ready? Exits with 0 when it is, else with 1.

Run as a script on the bare interpreter, because it runs every few seconds in every container.
"""

import http.client
import os
import sys


def main() -> int:
    """Ask the admin port, as the environment names it."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["SLUICE_ADMIN_PORT"]), timeout=4)
    try:
        connection.request("GET", "/readyz")
        return int(connection.getresponse().status != http.HTTPStatus.OK)
    except OSError:
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
