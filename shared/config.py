"""The environment, read once, into a frozen dataclass a service.

A service's `settings.py` declares its fields with `setting(...)`: default, unit and reason stand beside the name, and
the variable is `SLUICE_` + the field's name in capitals unless it says otherwise. `load` reports every fault at once.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any, TypeVar, get_type_hints

from shared.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that must not be seen: printing, formatting and logging show only that it is set."""

    _value: str

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)" if self._value else "Secret()"


def setting(default: Any = MISSING, *, why: str, unit: str = "", env: str = "") -> Any:
    """A dataclass field read from the environment.

    default: the value when the variable is unset; without one the variable is required.
    why: what the field is for, and why the default is what it is (shown by `describe`).
    unit: seconds, bytes, …; empty for names and flags.
    env: the variable, where it is not `SLUICE_<FIELD>`.
    """
    metadata = {"why": why, "unit": unit, "env": env}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def _boolean(text: str) -> bool:
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"0", "false", "no", "off", ""}:
        return False
    raise ValueError("not a yes or a no")


def _strings(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


_PARSERS: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: float,
    bool: _boolean,
    tuple[str, ...]: _strings,
    Secret: Secret,
}


def variable(spec: "dataclasses.Field[Any]") -> str:
    """The environment variable that `spec` is read from."""
    return spec.metadata.get("env") or f"SLUICE_{spec.name.upper()}"


def load(settings: type[T], environ: Mapping[str, str]) -> T:
    """Build `settings` from `environ`.

    Raises ConfigError naming every variable that is missing or malformed (never its value).
    """
    faults: list[str] = []
    values: dict[str, Any] = {}
    hints = get_type_hints(settings)
    for spec in dataclasses.fields(settings):  # type: ignore[arg-type]  # a dataclass by contract
        name, text = variable(spec), environ.get(variable(spec))
        if text is None:
            if spec.default is MISSING:
                faults.append(f"{name} is not set: {spec.metadata['why']}")
            continue
        try:
            values[spec.name] = _PARSERS[hints[spec.name]](text)
        except ValueError:
            faults.append(f"{name} is not a valid {getattr(hints[spec.name], '__name__', 'list')}")
    if faults:
        raise ConfigError("; ".join(faults))
    return settings(**values)


def describe(settings: type[Any]) -> list[tuple[str, str, str, str]]:
    """Rows of (variable, default, unit, why) for the documentation and `doctor`."""
    return [
        (
            variable(spec),
            "required" if spec.default is MISSING else str(spec.default),
            str(spec.metadata["unit"]),
            str(spec.metadata["why"]),
        )
        for spec in dataclasses.fields(settings)
    ]


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """What every service reads."""

    project: str = setting("sluice-local", why="Google Cloud project that holds topics and documents")
    prefix: str = setting("sluice", why="starts every topic's name, so that several systems can share a project")
    pubsub_emulator: str = setting("", env="PUBSUB_EMULATOR_HOST", why="host:port; empty for the real service")
    firestore_emulator: str = setting("", env="FIRESTORE_EMULATOR_HOST", why="host:port; empty for the real service")
    redis_url: str = setting("redis://127.0.0.1:6379/0", env="REDIS_URL", why="the cache; never needed for truth")
    id_keys: Secret = setting(why="MAC keys of ids as version:hex, comma-separated; the highest version signs")
    admin_host: str = setting("127.0.0.1", why="address of /livez, /readyz and /metrics; 0.0.0.0 in containers")
    admin_port: int = setting(0, why="port of /livez, /readyz and /metrics; 0 lets the system choose")
    drain_seconds: float = setting(
        8.0, unit="seconds", why="how long running work may go on after SIGTERM; Cloud Run kills at 10"
    )
    log_level: str = setting("INFO", why="DEBUG adds a line for every read")
    retention_succeeded_seconds: int = setting(86_400, unit="seconds", why="how long a succeeded job can be read")
    retention_other_seconds: int = setting(604_800, unit="seconds", why="how long any other finished job can be read")
    otlp_endpoint: str = setting("", why="OTLP/gRPC endpoint for traces and metrics; empty exports nothing")
    trace_ratio: float = setting(0.0, why="share of requests without a traceparent that start a trace, 0 to 1")
    instance: str = setting("", env="HOSTNAME", why="names this process in logs and claims")
