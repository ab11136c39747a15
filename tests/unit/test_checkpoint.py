"""Weights files: DECA's released format made by a formula, ours, and everything that can be wrong with them."""

from __future__ import annotations

import builtins
import dataclasses
import functools
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from deca.cli import main
from deca.errors import AssetError, OutputError
from deca.files import in_order
from deca.head import load_head
from deca.networks import (
    OFFICIAL_CARD,
    Card,
    CodeSizes,
    check_head,
    load_checkpoint,
    random_checkpoint,
    save_checkpoint,
)
from deca.networks.checkpoint import build_networks

OFFICIAL_NAMES = {"coarse_encoder": "E_flame", "detail_encoder": "E_detail", "detail_decoder": "D_detail"}
Content = dict[str, Any]


def formula(key: str, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
    """A value per key for large tensors, stored as one number; another value in every place of small ones."""
    start = zlib.crc32(key.encode()) % 1000
    if shape.numel() > 20_000:
        return torch.tensor(start / 1000, dtype=dtype).expand(shape)
    return ((torch.arange(shape.numel()) * 7 + start) % 1013 / 1000).to(dtype).reshape(shape)


@functools.cache
def formula_states() -> dict[str, dict[str, torch.Tensor]]:
    with torch.device("meta"):
        networks = build_networks(OFFICIAL_CARD)
    return {
        OFFICIAL_NAMES[name]: {
            key: formula(f"{OFFICIAL_NAMES[name]}.{key}", tensor.shape, tensor.dtype)
            for key, tensor in network.state_dict().items()
        }
        for name, network in networks.items()
    }


@pytest.fixture
def content() -> Content:
    """What DECA's trainer saves, in a few hundred kilobytes."""
    states = {name: dict(state) for name, state in formula_states().items()}
    return states | {"opt": {"state": {0: {"step": 3}}}, "global_step": 100, "batch_size": 8}


def write(content: Any, path: Path, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def check_formula(path: Path) -> None:
    checkpoint = load_checkpoint(path)
    assert checkpoint.card == OFFICIAL_CARD
    count = 0
    for name, network in checkpoint.networks().items():
        assert not network.training
        for key, tensor in network.state_dict().items():
            key = f"{OFFICIAL_NAMES[name]}.{key}"
            assert torch.equal(tensor, formula(key, tensor.shape, tensor.dtype)), key
            count += 1
    assert count == 322 + 322 + 44


@pytest.mark.parametrize("legacy", [False, True])
def test_released_format_is_read(content: Content, tmp_path: Path, legacy: bool) -> None:
    check_formula(write(content, tmp_path / "deca_model.tar", legacy))


def test_other_entries_are_not_read_from_the_file(content: Content, tmp_path: Path) -> None:
    """Counts the bytes that this process asks the kernel to read."""
    counter = Path("/proc/self/io")
    if not counter.exists():
        pytest.skip("needs Linux")
    content["opt"]["moments"] = torch.zeros(16_000_000)  # 64 MB
    path = write(content, tmp_path / "deca_model.tar")

    def bytes_read(action: Callable[[], object]) -> int:
        before = int(counter.read_text().split()[1])
        action()
        return int(counter.read_text().split()[1]) - before

    assert bytes_read(lambda: torch.load(path, weights_only=True)) > 64e6  # the counter counts
    assert bytes_read(lambda: load_checkpoint(path)) < 4e6


def test_loaded_weights_do_not_need_the_file(content: Content, tmp_path: Path) -> None:
    path = write(content, tmp_path / "deca_model.tar")
    checkpoint = load_checkpoint(path)
    path.write_bytes(b"\xff" * path.stat().st_size)
    bias = checkpoint.detail_decoder.l1[0].bias
    assert torch.equal(bias, formula("D_detail.l1.0.bias", bias.shape, bias.dtype))


def test_weights_in_half_precision_become_single(content: Content, tmp_path: Path) -> None:
    content["D_detail"]["l1.0.bias"] = content["D_detail"]["l1.0.bias"].half()
    checkpoint = load_checkpoint(write(content, tmp_path / "half.tar"))
    assert checkpoint.detail_decoder.l1[0].bias.dtype == torch.float32


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c.pop("D_detail"), r"no entry D_detail.*it holds: E_flame, E_detail, opt"),
        (lambda c: c.update(E_flame=[1, 2]), "no entry E_flame"),
        (
            lambda c: c["E_flame"].pop("encoder.layer2.0.conv1.weight"),
            r"lacks E_flame\.encoder\.layer2\.0\.conv1\.weight, expected with shape \(128, 256, 1, 1\)",
        ),
        (lambda c: c["E_flame"].pop("encoder.bn1.running_var"), r"lacks E_flame\.encoder\.bn1\.running_var"),
        (
            lambda c: c["E_detail"].update({"layers.2.bias": torch.zeros(127)}),
            r"E_detail\.layers\.2\.bias is \(127,\) torch\.float32, expected \(128,\) torch\.float32",
        ),
        (
            lambda c: c["E_detail"].update({"layers.2.bias": torch.zeros(128, dtype=torch.int32)}),
            r"E_detail\.layers\.2\.bias is \(128,\) torch\.int32",
        ),
        (lambda c: c["E_detail"].update({"layers.2.bias": "zero"}), r"E_detail\.layers\.2\.bias is a str"),
        (
            lambda c: c["D_detail"].update({"conv_blocks.21.bias": torch.tensor([torch.nan])}),
            r"D_detail\.conv_blocks\.21\.bias holds numbers that are infinite or not a number",
        ),
        (
            lambda c: c["E_flame"].update({"layers.2.bias": torch.full((236,), -torch.inf)}),
            r"E_flame\.layers\.2\.bias holds numbers that are infinite",
        ),
    ],
    ids=["entry", "no state", "missing", "statistics", "shape", "dtype", "text", "nan", "inf"],
)
def test_weights_that_do_not_fit_are_named(
    content: Content, tmp_path: Path, spoil: Callable[[Content], None], message: str, legacy: bool
) -> None:
    spoil(content)
    path = write(content, tmp_path / "spoilt.tar", legacy)
    with pytest.raises(AssetError, match=message) as error:
        load_checkpoint(path)
    assert str(path) in error.value.message and error.value.hint


@pytest.mark.parametrize("legacy", [False, True])
def test_what_the_release_does_not_need_is_not_needed(content: Content, tmp_path: Path, legacy: bool) -> None:
    """Batch norms' counts, which old torch does not write; and keys that the networks do not have change nothing."""
    counts = 0
    for name in OFFICIAL_NAMES.values():
        for key in [key for key in content[name] if key.endswith("num_batches_tracked")]:
            del content[name][key]
            counts += 1
    content["D_detail"] |= {"conv_blocks.22.bias": torch.zeros(1), "more": 1}
    loaded = load_checkpoint(write(content, tmp_path / "deca_model.tar", legacy)).networks()
    assert counts > 100
    for name, network in loaded.items():
        for key, tensor in network.state_dict().items():
            is_count = key.endswith("num_batches_tracked")
            expected = formula(f"{OFFICIAL_NAMES[name]}.{key}", tensor.shape, tensor.dtype)
            assert torch.equal(tensor, torch.zeros_like(tensor) if is_count else expected), key


def test_huge_finite_weights_are_no_infinities(content: Content, tmp_path: Path) -> None:
    content["E_flame"]["layers.2.bias"] = torch.full((236,), 3e38)  # their sum overflows
    load_checkpoint(write(content, tmp_path / "huge.tar"))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("keep", [0.001, 0.02, 0.03, 0.5, 0.98, 0.9999])
def test_truncated_released_file(content: Content, tmp_path: Path, legacy: bool, keep: float) -> None:
    path = write(content, tmp_path / "deca_model.tar", legacy)
    data = path.read_bytes()
    for short in range(3):  # the end of a name, of a number, between two
        path.write_bytes(data[: int(len(data) * keep) - short])
        with pytest.raises(AssetError, match=r"deca_model\.tar is damaged: it is truncated"):
            load_checkpoint(path)


def plain_zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("readme.txt", "nothing")
    return stream.getvalue()


def real_tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        file.addfile(tarfile.TarInfo("weights"))
    return stream.getvalue()


def saved(value: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Sign in to download</html>", "web page"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "another kind"),
        (real_tar(), "another kind"),
        (pickle.dumps({"E_flame": 1}), "another kind"),
        (plain_zip(), "not written by torch.save"),
        (saved(torch.zeros(3)), "no entry E_flame.*Tensor"),
        (saved({"state_dict": {}, "epoch": 3}), "no entry E_flame.*state_dict, epoch"),
        (safetensors.torch.save({"x": torch.zeros(3)}), "not one of weights"),
    ],
    ids=["empty", "html", "png", "tar", "pickle", "zip", "tensor", "other network", "safetensors"],
)
def test_foreign_files(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "foreign é.tar"
    path.write_bytes(data)
    with pytest.raises(AssetError, match=message) as error:
        load_checkpoint(path)
    assert str(path) in error.value.message and error.value.hint


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.tar", tmp_path):
        with pytest.raises(AssetError, match="cannot be read"):
            load_checkpoint(path)


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", b"\x10\0\0\0\0\0\0\0{"])
def test_garbage_after_a_good_start(tmp_path: Path, start: bytes) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "garbage"
    for size in (0, 3, 40, 4000):
        path.write_bytes(start + rng.bytes(size))
        with pytest.raises(AssetError, match="damaged"):
            load_checkpoint(path)


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("place", ["top", "state", "skipped entry"])
@pytest.mark.parametrize("function", [os.system, builtins.eval, builtins.exec])
def test_malicious_file_is_refused_and_nothing_runs(
    content: Content, tmp_path: Path, legacy: bool, place: str, function: Callable[..., Any]
) -> None:
    marker = tmp_path / "ran"
    code = f"touch '{marker}'" if function is os.system else f"__import__('pathlib').Path({str(marker)!r}).touch()"
    call = Call(function, code)
    if place == "state":
        content["E_flame"]["encoder.conv1.weight"] = call
    elif place == "skipped entry":
        content["opt"] = [call]
    path = write(call if place == "top" else content, tmp_path / "deca_model.tar", legacy)
    with pytest.raises(AssetError, match=rf"asks for the Python object \S*{function.__name__}\. Nothing of it was run"):
        load_checkpoint(path)
    assert not marker.exists()
    with path.open("rb") as file:  # the file would have run its code
        torch.load(file, weights_only=False) if place == "top" else None
    assert marker.exists() == (place == "top")


def test_convert_weights(content: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = write(content, tmp_path / "deca_model.tar"), tmp_path / "new folder" / "weights é.safetensors"
    assert main(["convert-weights", str(source), "--out", str(out)]) == 0
    assert json.loads(capsys.readouterr().out)["head"] == "FLAME 2020"
    check_formula(out)
    again = tmp_path / "again.safetensors"
    script = f"from deca.cli import main; main(['convert-weights', {str(source)!r}, '--out', {str(again)!r}])"
    for seed in ("1", "2"):  # another process: the library's order of the metadata is random
        subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONHASHSEED": seed}, check=True)
        assert again.read_bytes() == out.read_bytes()  # heads remember the hash


def test_metadata_is_in_a_fixed_order() -> None:
    metadata = {f"key {number}": str(number) for number in range(20)}
    files = [in_order(safetensors.torch.save({"x": torch.arange(3), "a": torch.ones(2)}, metadata)) for _ in range(5)]
    assert len(set(files)) == 1
    assert safetensors.torch.load(files[0])["x"].tolist() == [0, 1, 2]


def test_convert_weights_reports_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert-weights", str(tmp_path / "none.tar"), "--out", str(tmp_path / "out.safetensors")]) == 1
    assert "none.tar" in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()


@pytest.fixture(scope="module")
def our_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = CodeSizes(albedo=10, detail=32)
    fields = {"backbone": "mobilenet_v3_large", "data": "synthetic", "metrics": {"nme": 0.02}, "licence": "CC0-1.0"}
    path = tmp_path_factory.mktemp("weights") / "ours.safetensors"
    save_checkpoint(random_checkpoint(5, Card.of(load_head(), sizes=sizes, **fields)), path)
    return path


def test_our_file_comes_back_with_its_card(our_file: Path) -> None:
    checkpoint, head = load_checkpoint(our_file), load_head()
    assert checkpoint.card == Card(
        head="openhead",
        head_hash=head.hash,
        head_verts=head.num_verts,
        sizes=CodeSizes(albedo=10, detail=32),
        backbone="mobilenet_v3_large",
        data="synthetic",
        metrics={"nme": 0.02},
        licence="CC0-1.0",
    )
    expected = random_checkpoint(5, checkpoint.card)
    for name, network in checkpoint.networks().items():
        state = expected.networks()[name].state_dict()
        assert all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t, m: m.update(version="2"), "version 2 of the weights format; this is version 1"),
        (lambda t, m: m.pop("card"), "card .* is damaged"),
        (lambda t, m: m.update(card="{"), "card .* is damaged"),
        (lambda t, m: m.update(card=m["card"].replace("mobilenet_v3_large", "vgg")), "unknown backbone 'vgg'"),
        (lambda t, m: m.update(card=m["card"].replace('"albedo": 10', '"albedo": -1')), "card .* is damaged"),
        (lambda t, m: m.update(card=m["card"].replace('"albedo": 10', '"albedo": 11')), r"coarse_encoder\.layers\.2"),
        (lambda t, m: t.pop("detail_encoder.layers.0.bias"), r"lacks detail_encoder\.layers\.0\.bias"),
        (lambda t, m: t.update({"rasteriser.x": torch.zeros(1)}), "rasteriser.x, which belongs to none"),
    ],
    ids=["version", "no card", "card", "backbone", "negative", "sizes", "missing", "foreign"],
)
def test_our_file_spoilt(
    our_file: Path, tmp_path: Path, spoil: Callable[[dict[str, torch.Tensor], dict[str, str]], None], message: str
) -> None:
    with safetensors.safe_open(our_file, "pt") as file:
        tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()
    spoil(tensors, metadata)
    path = tmp_path / "spoilt.safetensors"
    safetensors.torch.save_file(tensors, path, metadata)
    with pytest.raises(AssetError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize("keep", [20, 2000, -1000])
def test_our_file_truncated(our_file: Path, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "short.safetensors"
    path.write_bytes(our_file.read_bytes()[:keep])
    with pytest.raises(AssetError, match=r"short\.safetensors is damaged"):
        load_checkpoint(path)


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    checkpoint = random_checkpoint(0, Card("any", "", 0, backbone="mobilenet_v3_large"))
    with pytest.raises(OutputError):
        save_checkpoint(checkpoint, tmp_path / "file" / "weights.safetensors")


def test_weights_and_head_must_belong_together(recwarn: pytest.WarningsRecorder) -> None:
    head = load_head()
    check_head(Card.of(head), head)
    with pytest.raises(AssetError, match=r"FLAME 2020 with 5023 vertices; openhead has"):
        check_head(OFFICIAL_CARD, head)
    with pytest.raises(
        AssetError, match=rf"another version of openhead \(hash 0123\) than this one \(hash {head.hash}\)"
    ):
        check_head(dataclasses.replace(Card.of(head), head_hash="0123"), head)
    with pytest.raises(AssetError, match=rf"model other \(hash 0123\), not to openhead \(hash {head.hash}\)"):
        check_head(dataclasses.replace(Card.of(head), head="other", head_hash="0123"), head)
    with pytest.raises(AssetError, match=r"give 100 shape and 101 expression coefficients; openhead has 300 and 100"):
        check_head(Card.of(head, sizes=CodeSizes(expression=101)), head)
    flame = dataclasses.replace(head, name="FLAME 2020", hash="any", template_V3=np.zeros((5023, 3), np.float32))
    check_head(OFFICIAL_CARD, flame)
    assert not recwarn.list
    with pytest.warns(UserWarning, match="trained on FLAME 2020 and run on FLAME 2023"):
        check_head(OFFICIAL_CARD, dataclasses.replace(flame, name="FLAME 2023"))
