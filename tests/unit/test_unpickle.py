"""Pickles are read, never run: what Python 2 and 3 wrote, and files made to do harm."""

from __future__ import annotations

import collections
import pickle
import random
import struct
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

from deca.errors import AssetError
from deca.head.unpickle import read_object_npy, read_pickle
from tests.flame_files import Instance, call, chumpy, named, opcodes, python2_pickle, sparse

RNG = np.random.default_rng(0)
MATRIX = np.where(RNG.uniform(size=(5, 30)) < 0.2, RNG.normal(size=(5, 30)), 0)


def read(tmp_path: Path, data: bytes) -> Any:
    path = tmp_path / "modèle 1.pkl"
    path.write_bytes(data)
    return read_pickle(path)


# -- What is read -----------------------------------------------------------------------------------------------------


def python2_content() -> dict[str, Any]:
    return {
        "chumpy": chumpy(RNG.normal(size=(4, 3, 2))),
        "chumpy, old protocol": chumpy(np.arange(6, dtype=np.uint32).reshape(2, 3), with_reconstructor=True),
        "sparse": sparse(MATRIX),
        "fortran": np.asfortranarray(RNG.normal(size=(3, 4))),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 3)),
        "text": "lbs é",
        "numbers": [1, -(2**40), 4294967295, None, True],
    }


def test_python2_pickle_reads_as_with_the_real_unpickler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle is `pickle` itself, with NumPy and SciPy and a class in chumpy's place."""
    fake = types.ModuleType("chumpy.ch")
    fake.Ch = type("Ch", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", fake)
    old_scipy = types.ModuleType("scipy.sparse.csc")
    old_scipy.csc_matrix = scipy.sparse.csc_matrix  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "scipy.sparse.csc", old_scipy)
    data = python2_pickle(python2_content())
    expected = pickle.loads(data, encoding="latin1")
    ours = read(tmp_path, data)
    assert ours.keys() == expected.keys()
    for key in ("chumpy", "chumpy, old protocol"):
        np.testing.assert_array_equal(ours[key], expected[key].x)
    np.testing.assert_array_equal(ours["sparse"], expected["sparse"].toarray())
    np.testing.assert_array_equal(ours["sparse"], MATRIX)
    for key in ("fortran", "flags", "empty"):
        np.testing.assert_array_equal(ours[key], expected[key])
        assert ours[key].dtype == expected[key].dtype and ours[key].shape == expected[key].shape
    assert ours["text"] == expected["text"] == "lbs é"
    assert ours["numbers"] == expected["numbers"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_python3_pickle(tmp_path: Path, protocol: int) -> None:
    """The same arrays whatever the protocol; strides, byte order, scalars and shared parts included."""
    shared = RNG.normal(size=7)
    tensor = torch.arange(24, dtype=torch.int64).view(2, 3, 4).transpose(0, 2)[1:]
    content = {
        "sparse": scipy.sparse.csc_matrix(MATRIX),
        "tensor": tensor,
        "half": torch.linspace(0, 1, 5, dtype=torch.float16),
        "big end": np.arange(3, dtype=">u4"),
        "scalar": np.float32(2.5),
        "ordered": collections.OrderedDict(b=1, a=[shared, shared]),
        "bytes": b"\x00\xff",
    }
    ours = read(tmp_path, pickle.dumps(content, protocol))
    np.testing.assert_array_equal(ours["sparse"], MATRIX)
    np.testing.assert_array_equal(ours["tensor"], tensor.numpy())
    np.testing.assert_array_equal(ours["half"], content["half"].numpy())
    np.testing.assert_array_equal(ours["big end"], [0, 1, 2])
    assert ours["scalar"] == 2.5 and ours["bytes"] == b"\x00\xff"
    assert list(ours["ordered"]) == ["b", "a"]
    np.testing.assert_array_equal(ours["ordered"]["a"], [shared, shared])


def test_selection_of_a_chumpy_object(tmp_path: Path) -> None:
    state = {"a": chumpy(np.arange(12.0)), "idxs": np.array([5, 0, 7, 2]), "preferred_shape": (2, 2)}
    ours = read(tmp_path, python2_pickle(Instance("chumpy.reordering", "Select", state)))
    np.testing.assert_array_equal(ours, [[5, 0], [7, 2]])


@pytest.mark.parametrize("layout", ["csc", "csr", "coo"])
@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_sparse_layouts_as_scipy_writes_them(tmp_path: Path, layout: str, kind: str, protocol: int) -> None:
    sparse_matrix = getattr(scipy.sparse, f"{layout}_{kind}")(MATRIX)
    for index in (np.int32, np.int64):
        for part in ("indices", "indptr", "row", "col"):
            if hasattr(sparse_matrix, part):
                setattr(sparse_matrix, part, getattr(sparse_matrix, part).astype(index))
        np.testing.assert_array_equal(read(tmp_path, pickle.dumps(sparse_matrix, protocol)), MATRIX)


def test_sparse_layouts_as_python2_wrote_them(tmp_path: Path) -> None:
    """States by hand: rows of a csr matrix, places of a coo one, some of them twice."""
    row, column = np.array([1, 0, 1, 1]), np.array([2, 0, 2, 1])
    coo = {"row": row, "col": column, "data": np.array([1.0, 2, 3, 4]), "_shape": (2, 3)}
    starts = np.array([0, 1, 3], np.int32)
    csr = {"indices": np.array([0, 1, 2]), "indptr": starts, "data": np.array([2.0, 4, 4]), "_shape": (2, 3)}
    for name, state in (("coo", coo), ("csr", csr)):
        ours = read(tmp_path, python2_pickle(Instance(f"scipy.sparse.{name}", f"{name}_matrix", state)))
        np.testing.assert_array_equal(ours, [[2, 0, 0], [0, 4, 4]])
    for spoilt in ({"row": row[:2]}, {"row": row - 1}, {"col": column + 9}, {"row": row.astype(float)}):
        with pytest.raises(AssetError):
            read(tmp_path, python2_pickle(Instance("scipy.sparse.coo", "coo_matrix", {**coo, **spoilt})))


def test_truncated_files_say_so(tmp_path: Path) -> None:
    """Cut at any place, in either pickle's format and in .npy."""
    content = {"a": np.arange(40.0), "b": scipy.sparse.csc_matrix(np.eye(3)), "c": "text", "d": 7}
    sources = [python2_pickle(python2_content()), *(pickle.dumps(content, protocol) for protocol in (0, 2, 4))]
    for data in sources:
        for kept in np.linspace(0, len(data) - 1, 60).astype(int):
            with pytest.raises(AssetError, match="truncated"):
                read(tmp_path, data[:kept])
    np.save(tmp_path / "a.npy", content, allow_pickle=True)  # type: ignore[arg-type]
    data = (tmp_path / "a.npy").read_bytes()
    for kept in np.linspace(0, len(data) - 1, 40).astype(int):
        (tmp_path / "a.npy").write_bytes(data[:kept])
        with pytest.raises(AssetError, match="truncated"):
            read_object_npy(tmp_path / "a.npy")


def test_object_npy(tmp_path: Path) -> None:
    content = {"a": torch.arange(6).view(2, 3), "b": np.eye(2)}
    np.save(tmp_path / "a.npy", content, allow_pickle=True)  # type: ignore[arg-type]
    ours = read_object_npy(tmp_path / "a.npy")
    np.testing.assert_array_equal(ours["a"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(ours["b"], np.eye(2))
    np.save(tmp_path / "b.npy", np.eye(2))
    with pytest.raises(AssetError, match="where one object was expected"):
        read_object_npy(tmp_path / "b.npy")


# -- What is refused --------------------------------------------------------------------------------------------------


def system(canary: Path) -> bytes:
    return call("os", "system", f"touch '{canary}'")


def evaluated(canary: Path) -> bytes:
    return call("__builtin__", "eval", f"open({str(canary)!r}, 'w')")


def test_the_harm_is_real(tmp_path: Path) -> None:
    """Python's own unpickler does run it: otherwise the tests below could not fail."""
    for number, harm in enumerate((system, evaluated)):
        canary = tmp_path / f"canary {number}"
        pickle.loads(python2_pickle(harm(canary)))
        assert canary.exists()


def inside_torch_storage(canary: Path) -> bytes:
    data = b"\x80\x02" + system(canary) + b"."
    storage = call("torch.storage", "_load_from_bytes", call("_codecs", "encode", data.decode("latin1"), "latin1"))
    return opcodes({"tensor": call("torch._utils", "_rebuild_tensor_v2", storage, 0, (1,), (1,), False, {})})


def inside_object_array(canary: Path) -> bytes:
    empty = call("numpy.core.multiarray", "_reconstruct", named("numpy", "ndarray"), (0,), "b")
    object_type = call("numpy", "dtype", "O8", 0, 1) + opcodes((3, "|", None, None, None, -1, -1, 63)) + b"b"
    return empty + opcodes((1, (1,), object_type, False, [system(canary)])) + b"b"


REFUSED: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "system": (system, "os.system"),
    "eval": (evaluated, "__builtin__.eval"),
    "posix": (lambda canary: call("posix", "system", f"touch '{canary}'"), "posix.system"),
    "in a dict": (lambda canary: opcodes({"f": np.eye(2), "x": [(system(canary),)]}), "os.system"),
    "in a chumpy object": (lambda c: opcodes(Instance("chumpy.ch", "Ch", {"x": evaluated(c)})), "__builtin__.eval"),
    "in its bookkeeping": (lambda c: opcodes(Instance("chumpy.ch", "Ch", {"x": np.eye(2), "_y": system(c)})), "os"),
    "in a sparse matrix": (lambda c: opcodes(Instance("scipy.sparse.csc", "csc_matrix", system(c))), "os.system"),
    "in a torch storage": (inside_torch_storage, "os.system"),
    "in an object array": (inside_object_array, "os.system"),
    "an attribute": (lambda c: opcodes("numpy") + opcodes("ndarray.__class__") + b"\x93" + b")R", "ndarray.__class__"),
    "a module's module": (lambda c: call("numpy", "core.os.system", "true"), "numpy.core.os.system"),
    "getattr": (lambda c: call("__builtin__", "getattr", named("numpy", "ndarray"), "mro"), "getattr"),
    "a wrapped system": (lambda c: call("copyreg", "_reconstructor", named("os", "system"), 1, 2), "os.system"),
    "NEWOBJ": (lambda c: named("subprocess", "Popen") + opcodes((f"touch {c}",)) + b"\x81", "subprocess.Popen"),
    "numpy's loader": (lambda c: call("numpy", "load", "a.npy", None, True), "numpy.load"),
    "torch's loader": (lambda c: call("torch", "load", "a.pt"), "torch.load"),
    "an unknown chumpy class": (lambda c: opcodes(Instance("chumpy.ch", "depends_on", {})), "chumpy.ch.depends_on"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_harm_is_refused_by_name_and_not_run(tmp_path: Path, case: str) -> None:
    make, name = REFUSED[case]
    canary = tmp_path / "canary"
    with pytest.raises(AssetError, match=r"modèle 1\.pkl was refused") as caught:
        read(tmp_path, python2_pickle(make(canary)))
    assert name in str(caught.value)
    assert not canary.exists()


@pytest.mark.parametrize("nested", [False, True])
def test_harm_in_npy_is_not_run(tmp_path: Path, nested: bool) -> None:
    canary = tmp_path / "canary"

    class Harmful:
        def __reduce__(self) -> tuple:
            return eval, (f"open({str(canary)!r}, 'w')",)

    content = {"a": {"b": Harmful()}} if nested else Harmful()
    np.save(tmp_path / "x.npy", np.array(content, dtype=object), allow_pickle=True)
    with pytest.raises(AssetError, match="eval"):
        read_object_npy(tmp_path / "x.npy")
    assert not canary.exists()


CH = named("chumpy.ch", "Ch")
DTYPE = call("numpy", "dtype", "f8", 0, 1)
EMPTY = call("numpy.core.multiarray", "_reconstruct", named("numpy", "ndarray"), (0,), "b")


def one_entry(row: int, rows: int) -> bytes:
    """A sparse matrix with one column and one entry."""
    parts = {"data": np.ones(1), "indices": np.array([row], np.int32), "indptr": np.array([0, 1])}
    return opcodes(Instance("scipy.sparse.csc", "csc_matrix", {**parts, "_shape": (rows, 1)}))


MALFORMED = {
    "the result of a call is called": call("collections", "OrderedDict") + b")R",
    "a list is called": opcodes([1]) + b")R",
    "called with a list": CH + b"]R",
    "state of a class": CH + opcodes({"x": np.eye(2)}) + b"b",
    "attributes of a class": CH + opcodes((None, {"__init__": CH})) + b"b",
    "state of a list": opcodes([]) + opcodes({"a": 1}) + b"b",
    "state twice": opcodes(Instance("chumpy.ch", "Ch", {"x": np.eye(2)})) + opcodes({"x": 1}) + b"b",
    "a state of text": opcodes(Instance("chumpy.ch", "Ch", "x")),
    "a state without its entry": opcodes(Instance("chumpy.ch", "Ch", {"y": 1})),
    "an array's state": EMPTY + opcodes((1, 2)) + b"b",
    "an array without a state": EMPTY,
    "an array of another class": call("numpy.core.multiarray", "_reconstruct", CH, (0,), "b"),
    "a type of records": call("numpy", "dtype", "V8", 0, 1),
    "a type with fields": call("numpy", "dtype", "f8", 0, 1)
    + opcodes((3, "|", None, ("a",), {"a": (DTYPE, 0)}, -1, -1, 0))
    + b"b",
    "a name called": call("numpy", "ndarray", (3,)),
    "an object's base": call("copy_reg", "_reconstructor", CH, CH, None),
    "persistent name": b"Psystem\n",
    "persistent object": opcodes("system") + b"Q",
    "INST": b"(ichumpy.ch\nCh\n",
    "OBJ": b"(" + CH + b"o",
    "extension": b"\x82\x01",
    "unpaired mark": b"(",
    "nothing": b"",
    "terabytes": EMPTY + opcodes((1, (2**20, 2**20), DTYPE, False, "")) + b"b",
    "more than addressable": EMPTY + opcodes((1, (2**40, 2**40), DTYPE, False, "")) + b"b",
    "less than nothing": EMPTY + opcodes((1, (-1, -1), DTYPE, False, "12345678")) + b"b",
    "a sparse matrix of terabytes": one_entry(0, 2**40),
    "a sparse matrix beyond its rows": one_entry(9, 5),
    "a sparse matrix before its rows": one_entry(-1, 5),
    "a tensor of terabytes": call("torch._utils", "_rebuild_tensor_v2", np.ones(1), 0, (2**40,), (0,), False, {}),
    "a tensor beyond its storage": call("torch._utils", "_rebuild_tensor_v2", np.ones(4), 2, (3,), (1,), False, {}),
    "a tensor before its storage": call("torch._utils", "_rebuild_tensor_v2", np.ones(4), 0, (3,), (-1,), False, {}),
    "a string of gigabytes": b"T" + struct.pack("<i", 2**31 - 1) + b"abc",
    "a list in itself": b"]q\x01h\x01a",
    "deep lists": b"]" * 100_000 + b"a" * 99_999,
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_is_an_error(tmp_path: Path, case: str) -> None:
    with pytest.raises(AssetError, match=r"modèle 1\.pkl"):
        read(tmp_path, python2_pickle(MALFORMED[case]))


def test_shared_parts_do_not_multiply(tmp_path: Path) -> None:
    """Each list holds the one before twice: 2^60 leaves if they were walked one by one, or made an array."""
    steps = (b"](h%ch%ceq%c0" % (i, i, i + 1) for i in range(60))
    lists = opcodes([1]) + b"q\x000" + b"".join(steps) + b"h%c" % 60
    assert len(read(tmp_path, python2_pickle(lists))) == 2
    with pytest.raises(AssetError, match="x is a list"):
        read(tmp_path, python2_pickle(Instance("chumpy.ch", "Ch", {"x": lists})))


def test_memo_index_takes_no_memory(tmp_path: Path) -> None:
    """The C unpickler would fill 32 GB with a table up to this index."""
    assert read(tmp_path, python2_pickle(opcodes(1) + b"r" + struct.pack("<I", 2**32 - 1))) == 1


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="does not exist"):
        read_pickle(tmp_path / "none.pkl")


def test_damage_never_shows_as_another_error(tmp_path: Path) -> None:
    """A thousand files cut short or with bytes flipped: read, or an `AssetError`, and no import or crash."""
    python3_content = {"a": torch.arange(6), "b": np.arange(4.0), "c": scipy.sparse.csc_matrix(np.eye(2))}
    sources = [python2_pickle(python2_content()), pickle.dumps(python3_content, 2)]
    chance = random.Random(0)
    modules = set(sys.modules)
    failed = 0
    for _ in range(1000):
        data = bytearray(chance.choice(sources))
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)) :]
        try:
            read(tmp_path, bytes(data))
        except AssetError:
            failed += 1
    assert failed > 300
    assert set(sys.modules) == modules
