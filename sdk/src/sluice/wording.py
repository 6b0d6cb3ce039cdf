"""Human text on its way into JSON: bounded, and always encodable. Called by `outcomes`, `context` and `faults`."""


def wording(name: str, text: str, limit: int) -> str:
    """`text`, stripped and cut at `limit` characters. Raises TypeError, with the argument's `name`, for no string."""
    if not isinstance(text, str):
        raise TypeError(f"`{name}` is a string, not {type(text).__name__}")
    # File names and foreign bytes may hold lone surrogates, which no JSON can carry.
    clean = text.strip().encode("utf-8", "replace").decode("utf-8")
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
