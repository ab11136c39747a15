"""What a bug report needs to know, as text. Nothing of the user's photos, paths of photos or names is in it."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping

from ..protocol.messages import PROTOCOL_VERSION, HelloReply


def report(blender: str, state: str, failure: str, backend: HelloReply | None, settings: Mapping[str, str]) -> str:
    """The report, a `name: value` line each.

    Args:
        blender: Blender's version.
        state: What the backend is doing.
        failure: Why it is not running, or "".
        backend: What answered the handshake, or None.
        settings: The add-on's preferences by name.
    """
    lines = {
        "Blender": blender,
        "System": platform.platform(),
        "Python": platform.python_version(),
        "Protocol": str(PROTOCOL_VERSION),
        "Backend": state,
        **({"Failure": failure} if failure else {}),
    }
    if backend is not None:
        lines |= {
            "Backend version": f"{backend.backend_version}, protocol {backend.protocol_version}",
            "Backend Python": backend.python,
            "torch": backend.torch or "not installed",
            "Device": backend.device,
        }
    lines |= {f"Preference {name}": value or "(default)" for name, value in settings.items()}
    return "\n".join(f"{name}: {without_user(value)}" for name, value in lines.items()) + "\n"


def without_user(text: str) -> str:
    """The text with the names of home folders taken out of its paths."""
    return re.sub(r"((?:/home/|/Users/|[A-Za-z]:\\Users\\))[^/\\\s]+", r"\1...", text)
