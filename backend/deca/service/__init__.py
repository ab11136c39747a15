"""The backend process: serves requests of `deca_blender.protocol` over stdin and stdout (`python -m deca.service`)."""

from __future__ import annotations

from deca.service.main import serve
from deca.service.server import Cancelled

__all__ = ["Cancelled", "serve"]
