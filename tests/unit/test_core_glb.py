"""Normals of morphs in a binary glTF file, read back as its specification says."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from deca_blender.core.glb import with_morph_normals

NUMBERS = ([2, 0, 1], [3, 2, 1, 3])
"""Vertices of the mesh in each of its two parts; one is in a part twice, as seams of textures have it."""


def made() -> bytes:
    """A mesh of two parts with two morphs, and another accessor after them."""
    views, accessors, parts = [], [], []

    def add(values: np.ndarray, kind: str) -> int:
        views.append(values.astype("<f4").tobytes() + bytes(1))  # views need not end at a multiple of four
        accessors.append({"bufferView": len(views) - 1, "componentType": 5126, "count": len(values), "type": kind})
        return len(accessors) - 1

    for numbers in NUMBERS:
        places = np.arange(3.0 * len(numbers)).reshape(-1, 3)
        attributes = {"POSITION": add(places, "VEC3"), "_DECA_NUMBER": add(np.array(numbers), "SCALAR")}
        targets = [{"POSITION": add(places + morph, "VEC3")} for morph in (1, 2)]
        parts.append({"attributes": attributes, "targets": targets})
    last = add(np.full(5, 7.0), "SCALAR")
    told, binary = [], b""
    for view in views:
        told.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(view)})
        binary += view + bytes(-len(view) % 4)
    content = {
        "asset": {"version": "2.0", "generator": "é"},
        "meshes": [{"primitives": parts}],
        "animations": [{"samplers": [{"input": last}]}],
        "accessors": accessors,
        "bufferViews": told,
        "buffers": [{"byteLength": len(binary)}],
    }
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(binary))
    return b"".join(
        [head, struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", len(binary), b"BIN\0"), binary]
    )


class Read:
    """A file's content, and the values of its accessors."""

    def __init__(self, data: bytes) -> None:
        assert struct.unpack_from("<4sII", data) == (b"glTF", 2, len(data)) and len(data) % 4 == 0
        size, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON" and size % 4 == 0
        self.content: dict[str, Any] = json.loads(data[20 : 20 + size])
        length, kind = struct.unpack_from("<I4s", data, 20 + size)
        self.binary = data[28 + size :]
        assert kind == b"BIN\0" and len(self.binary) == length == self.content["buffers"][0]["byteLength"]

    def view(self, place: int, kind: str) -> np.ndarray:
        view = self.content["bufferViews"][place]
        assert view["byteOffset"] % 4 == 0 and view["byteLength"] > 0
        values = self.binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        return np.frombuffer(values[: len(values) // int(kind[-1]) * int(kind[-1])], kind)

    def values(self, place: int) -> np.ndarray:
        accessor = self.content["accessors"][place]
        shape = (accessor["count"], 3) if accessor["type"] == "VEC3" else (accessor["count"],)
        if "bufferView" in accessor:
            return self.view(accessor["bufferView"], "<f4").reshape(shape)
        out, sparse = np.zeros(shape), accessor["sparse"]
        rows = self.view(
            sparse["indices"]["bufferView"], {5123: "<u2", 5125: "<u4"}[sparse["indices"]["componentType"]]
        )
        assert len(rows) == sparse["count"] > 0 and (np.diff(rows.astype(int)) > 0).all()
        out[rows] = self.view(sparse["values"]["bufferView"], "<f4").reshape(-1, 3)
        return out


def test_each_part_gets_the_changes_of_its_vertices_and_all_else_stays() -> None:
    before = Read(made())
    changes = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    changes[0, [0, 3]] = 0
    changes[1, 2] = 5e-4  # nobody sees so little
    after = Read(with_morph_normals(made(), "_DECA_NUMBER", changes))
    (mesh,), (old,) = after.content["meshes"], before.content["meshes"]
    seen = set()
    for part, known, numbers in zip(mesh["primitives"], old["primitives"], NUMBERS, strict=True):
        assert part["attributes"].keys() == {"POSITION"}
        pairs = [(part["attributes"], known["attributes"]), *zip(part["targets"], known["targets"], strict=True)]
        for new, was in pairs:
            assert np.array_equal(after.values(new["POSITION"]), before.values(was["POSITION"]))
        for target, change_V3 in zip(part["targets"], changes, strict=True):
            expected = np.where(np.abs(change_V3[numbers]).max(axis=1, keepdims=True) > 1e-3, change_V3[numbers], 0)
            assert np.array_equal(after.values(target["NORMAL"]), expected)
            seen |= {target["NORMAL"], target["POSITION"]}
        seen.add(part["attributes"]["POSITION"])
    last = after.content["animations"][0]["samplers"][0]["input"]
    assert np.array_equal(after.values(last), np.full(5, 7.0)) and after.content["asset"] == before.content["asset"]
    assert seen | {last} == set(range(len(after.content["accessors"])))  # nothing is left over


def test_morphs_that_turn_nothing() -> None:
    after = Read(with_morph_normals(made(), "_DECA_NUMBER", np.zeros((2, 4, 3), np.float32)))
    for part, numbers in zip(after.content["meshes"][0]["primitives"], NUMBERS, strict=True):
        for target in part["targets"]:
            assert np.array_equal(after.values(target["NORMAL"]), np.zeros((len(numbers), 3)))


@pytest.mark.parametrize("damage", [lambda data: data[:-4], lambda data: b"glTX" + data[4:]])
def test_other_files_are_refused(damage: Any) -> None:
    with pytest.raises(ValueError, match="no binary glTF"):
        with_morph_normals(damage(made()), "_DECA_NUMBER", [])
