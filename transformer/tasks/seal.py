"""Message authentication of ``task.json``: files written by this user's trainings on this machine.

A model directory may be untrusted, and its ``task.json`` may name any file. The key of the seal is in the
user's own folder, so that directories of others cannot have a valid seal.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from minigrad.io import read_file

SEAL = "seal"  # its name in the document
LENGTH = 32  # bytes


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Add a seal to a document; unchanged where no key can be stored."""
    key = _key()
    return {**document, SEAL: _seal(key, document)} if key else dict(document)


def is_sealed(document: Mapping[str, Any]) -> bool:
    """True if a document has a valid seal of this user on this machine."""
    content = {name: value for name, value in document.items() if name != SEAL}
    found, key = document.get(SEAL), _key(make=False)
    if key is None or not isinstance(found, str):
        return False
    return hmac.compare_digest(found.encode(), _seal(key, content).encode())


def _seal(key: bytes, content: Mapping[str, Any]) -> str:
    return hmac.new(key, json.dumps(content, sort_keys=True).encode(), hashlib.sha256).hexdigest()


def _folder() -> Path:
    """Folder of the key: ``minigrad`` in the user's state directory."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state", "minigrad")


def _key(make: bool = True) -> bytes | None:
    """The user's key, created on first use; None where it cannot be stored or read."""
    try:
        path = _folder() / "key"
        if make:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with suppress(FileExistsError), open(path, "xb", opener=_private) as file:
                file.write(secrets.token_bytes(LENGTH))
        key = read_file(path)
    except (OSError, RuntimeError, ValueError):  # RuntimeError: no home directory can be determined
        return None
    return key if len(key) == LENGTH else None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
