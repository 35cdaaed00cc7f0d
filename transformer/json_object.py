"""JSON objects: parsing, with errors that name the type that came instead, and writing."""

from __future__ import annotations

import json
from typing import Any


def json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        ValueError: it holds something else.
    """
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")
    return value


def to_json(document: dict[str, Any]) -> bytes:
    """Content of a JSON file."""
    return (json.dumps(document, indent=2) + "\n").encode()
