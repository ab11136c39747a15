"""Normals of morphs put into a binary glTF file (glTF 2.0, sections 3.6.2.3 and 4.4).

Blender's exporter takes most of its time for them on a dense head, and writes those that do not change as well.

Shape suffixes: V vertices of the mesh, P of a part of it with one material (a primitive).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FLOAT, _SHORT, _INT = 5126, 5123, 5125
_STILL = 1e-3
"""Changes of a normal, radians, that count as none: a twentieth of a degree, which nobody sees."""


def with_morph_normals(data: bytes, number: str, changes: Iterable[NDArray[np.float32]]) -> bytes:
    """A file whose morphs move the normals, too; normals that a morph leaves alone take no room (sparse accessors).

    Args:
        data: A file of one mesh whose morphs move positions alone.
        number: Attribute with the number that each vertex has in the mesh, as a float; it is taken out.
        changes: For each morph, in the file's order, what it adds to the normal of each vertex (V, 3), in the file's
            axes.

    Raises:
        ValueError: It is no such file.
    """
    file = _Glb(data)
    (mesh,) = file.content["meshes"]
    parts = [(part["targets"], file.take(part["attributes"].pop(number))) for part in mesh["primitives"]]
    for morph, change_V3 in enumerate(changes):
        for targets, rows_P in parts:
            targets[morph]["NORMAL"] = file.add(change_V3[rows_P])
    return file.written()


class _Glb:
    """A file in parts: its description, and the bytes of each buffer view.

    Accessors and views that are taken out leave free places, which the next ones get: numbers of others stay.
    """

    def __init__(self, data: bytes) -> None:
        magic, _, length, size, kind = struct.unpack_from("<4sIII4s", data)
        if (magic, kind, length) != (b"glTF", b"JSON", len(data)):
            raise ValueError("this is no binary glTF file")
        self.content: dict[str, Any] = json.loads(data[20 : 20 + size])
        binary = memoryview(data)[28 + size :]
        starts = [(view.get("byteOffset", 0), view["byteLength"]) for view in self.content["bufferViews"]]
        self._views: list[bytes | memoryview] = [binary[start : start + length] for start, length in starts]
        self._free_views: list[int] = []
        self._free_accessors: list[int] = []

    def take(self, place: int) -> NDArray[np.int64]:
        """Takes out an accessor of single floats that has a view to itself; its values, as whole numbers."""
        accessor = self.content["accessors"][place]
        view = accessor["bufferView"]
        self._free_accessors.append(place)
        self._free_views.append(view)
        return np.frombuffer(self._views[view], "<f4", accessor["count"]).round().astype(np.int64)

    def add(self, change_P3: NDArray[np.floating]) -> int:
        """Adds an accessor of vectors, most of which are 0; its place."""
        rows = np.flatnonzero((np.abs(change_P3) > _STILL).any(axis=1))
        if not len(rows):
            rows = np.zeros(1, np.int64)  # there has to be one
        kind, type_ = (_SHORT, "<u2") if len(change_P3) <= 0xFFFF else (_INT, "<u4")
        sparse = {
            "count": len(rows),
            "indices": {"bufferView": self._add_view(rows.astype(type_).tobytes()), "componentType": kind},
            "values": {"bufferView": self._add_view(change_P3[rows].astype("<f4").tobytes())},
        }
        accessor = {"componentType": _FLOAT, "count": len(change_P3), "type": "VEC3", "sparse": sparse}
        return _put(self.content["accessors"], self._free_accessors, accessor)

    def written(self) -> bytes:
        """The file."""
        start, parts, views = 0, [], self.content["bufferViews"]
        for view, values in zip(views, self._views, strict=True):
            padding = -len(values) % 4
            view["byteOffset"], view["byteLength"] = start, len(values)
            parts += [values, bytes(padding)]
            start += len(values) + padding
        self.content["buffers"][0]["byteLength"] = start
        text = json.dumps(self.content, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        header = struct.pack("<4sIII4s", b"glTF", 2, 28 + len(text) + start, len(text), b"JSON")
        return b"".join([header, text, struct.pack("<I4s", start, b"BIN\0"), *parts])

    def _add_view(self, values: bytes) -> int:
        _put(self._views, self._free_views[:], values)
        return _put(self.content["bufferViews"], self._free_views, {"buffer": 0})


def _put(items: list[Any], free: list[int], item: Any) -> int:
    """Puts an item into a free place of a list, or to its end; the place."""
    if free:
        place = free.pop()
        items[place] = item
        return place
    items.append(item)
    return len(items) - 1
