"""The wire format, imported by both sides: `messages` (what is said), `packing` and `codec` (how it becomes bytes)."""

from __future__ import annotations

from .codec import ByteReader, ByteWriter, Frame, ProtocolError, read_frame, write_frame
from .messages import PROTOCOL_VERSION, Message, MessageError, Request
from .packing import pack, unpack

__all__ = [
    "PROTOCOL_VERSION",
    "ByteReader",
    "ByteWriter",
    "Frame",
    "Message",
    "MessageError",
    "ProtocolError",
    "Request",
    "pack",
    "read_frame",
    "unpack",
    "write_frame",
]
