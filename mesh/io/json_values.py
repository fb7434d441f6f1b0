"""Values of messages as JSON, there and back. What JSON has no word for is an object with one key:

{"$bytes": "AAEC"}            bytes, in base64
{"$float": "nan"}             nan, inf and -inf
{"$map": [[key, value], ...]} a dict with keys that are bytes, or one that looks like these
"""

import base64
import math
from typing import Any

from mesh.errors import InvalidMessage


def to_json(value: object) -> Any:
    """A value that a message may hold, in JSON's own words and those of the module's docstring.

    Raises InvalidMessage for anything else.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else {"$float": repr(value)}
        case bytes() | bytearray() | memoryview():
            return {"$bytes": base64.b64encode(value).decode()}
        case list() | tuple():
            return [to_json(item) for item in value]
        case dict():
            return _map_to_json(value)
    raise InvalidMessage(f"{type(value).__name__} cannot be written as JSON")


def _map_to_json(value: dict[Any, Any]) -> Any:
    if all(isinstance(key, str) for key in value) and not _is_marked(value):
        return {key: to_json(item) for key, item in value.items()}
    return {"$map": [[to_json(key), to_json(item)] for key, item in value.items()]}


def from_json(value: Any) -> Any:
    """What `to_json` was given, tuples as lists. Raises InvalidMessage for an unknown mark."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if not _is_marked(value):
        return {key: from_json(item) for key, item in value.items()}
    ((mark, content),) = value.items()
    try:
        if mark == "$bytes":
            return base64.b64decode(content, validate=True)
        if mark == "$float" and content in ("nan", "inf", "-inf"):
            return float(content)
        if mark == "$map":
            return {from_json(key): from_json(item) for key, item in content}
    except (TypeError, ValueError):
        pass
    raise InvalidMessage(f"{mark[:40]!r} is no mark of a value, or holds something else")


def _is_marked(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith("$")
