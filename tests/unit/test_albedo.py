"""Albedo models: the official files' formats, made up, and our own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from deca.appearance.albedo import AlbedoModel, load_albedo
from deca.errors import AssetError
from deca.head import HeadModel, load_head
from tests.flame_files import make_albedo

OWN = {"format": "deca-albedo", "version": "1", "name": "test", "head_hash": "0123456789abcdef"}


def reference(mean_HW3: np.ndarray, basis_HW3A: np.ndarray, codes_A: np.ndarray) -> np.ndarray:
    """(3, 256, 256): combined at full size in float64, then every second texel."""
    full = mean_HW3.astype(np.float64) + basis_HW3A.astype(np.float64) @ codes_A
    return full[::2, ::2].transpose(2, 0, 1)


@pytest.mark.parametrize("kind", ["bfm", "flame"])
def test_official_formats(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "albedo é.npz"
    mean, basis = make_albedo(path, kind, components=4)
    model = load_albedo(path)
    assert model.num_coefficients == 4 and model.head_hash is None
    codes = np.random.default_rng(0).normal(size=(2, 4))
    ours = model.albedo(torch.from_numpy(codes).float()).numpy()
    assert ours.shape == (2, 3, 256, 256)
    for row in range(2):
        assert np.abs(ours[row] - reference(mean, basis, codes[row])).max() < 1e-6


def test_not_clamped() -> None:
    model = AlbedoModel(np.full((2, 2, 3), 0.5), np.ones((1, 2, 2, 3)), name="test")
    assert model.albedo(torch.tensor([[3.0], [-3.0]]))[:, 0, 0, 0].tolist() == [3.5, -2.5]


def test_only_the_leading_components_count(tmp_path: Path) -> None:
    path = tmp_path / "albedo.npz"
    mean, basis = make_albedo(path, components=4)
    model = load_albedo(path, num_coefficients=3)
    assert model.num_coefficients == 3
    fewer = model.albedo(torch.tensor([[1.0, -2.0]]))[0].numpy()
    assert np.abs(fewer - reference(mean, basis[..., :2], np.array([1.0, -2.0]))).max() < 1e-6


def test_gradient_reaches_the_codes() -> None:
    basis = np.random.default_rng(0).normal(size=(3, 4, 4, 3))
    model = AlbedoModel(np.zeros((4, 4, 3)), basis, name="test")
    codes = torch.zeros(2, 3, requires_grad=True)
    model(codes).sum().backward()
    assert codes.grad is not None
    np.testing.assert_allclose(codes.grad[1], basis.sum((1, 2, 3)), rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_own_format(tmp_path: Path, dtype: type) -> None:
    rng = np.random.default_rng(0)
    mean, basis = rng.uniform(size=(256, 256, 3)).astype(dtype), rng.normal(size=(2, 256, 256, 3)).astype(dtype)
    save_file({"albedo_mean": mean, "albedo_basis": basis}, tmp_path / "a.safetensors", OWN)
    model = load_albedo(str(tmp_path / "a.safetensors"))
    assert (model.name, model.head_hash) == ("test", OWN["head_hash"])
    ours = model.albedo(torch.tensor([[0.5, -1.0]]))[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - (mean.astype(np.float64) + 0.5 * basis[0] - 1.0 * basis[1])).max() < 1e-5


def test_belongs_to_its_head(tmp_path: Path) -> None:
    head: HeadModel = load_head()
    AlbedoModel(np.zeros((2, 2, 3)), np.zeros((1, 2, 2, 3)), name="ours", head_hash=head.hash).check_head(head)
    for other in ("0123456789abcdef", None):
        model = AlbedoModel(np.zeros((2, 2, 3)), np.zeros((1, 2, 2, 3)), name="foreign", head_hash=other)
        with pytest.raises(AssetError, match="another head model than openhead"):
            model.check_head(head)


class TestBadFiles:
    def test_missing(self, tmp_path: Path) -> None:
        for name in ("none.npz", "none.safetensors"):
            with pytest.raises(AssetError, match="does not exist"):
                load_albedo(tmp_path / name)

    def test_truncated(self, tmp_path: Path) -> None:
        path = tmp_path / "cut.npz"
        make_albedo(path, components=1)
        path.write_bytes(path.read_bytes()[:2_000_000])
        with pytest.raises(AssetError, match=r"cut\.npz is not a file of NumPy arrays"):
            load_albedo(path)

    @pytest.mark.parametrize(
        "arrays",
        [
            {"other": np.zeros(3)},
            {"MU": np.zeros(512 * 512 * 3)},
            {"MU": np.zeros(100), "PC": np.zeros((100, 2))},
            {"mean": np.zeros((512, 512, 3)), "tex_dir": np.zeros((512, 512, 2))},
        ],
    )
    def test_foreign(self, tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
        np.savez(tmp_path / "foreign.npz", **arrays)
        with pytest.raises(AssetError, match="not an albedo model of FLAME"):
            load_albedo(tmp_path / "foreign.npz")

    def test_objects_are_not_unpickled(self, tmp_path: Path) -> None:
        canary = tmp_path / "canary"

        class Harmful:
            def __reduce__(self) -> tuple:
                return eval, (f"open({str(canary)!r}, 'w')",)

        np.savez(tmp_path / "harm.npz", MU=np.array([Harmful()], dtype=object), PC=np.zeros(1))
        with pytest.raises(AssetError, match="not a file of NumPy arrays"):
            load_albedo(tmp_path / "harm.npz")
        assert not canary.exists()

    @pytest.mark.parametrize("metadata", [{}, OWN | {"version": "9"}])
    def test_foreign_safetensors(self, tmp_path: Path, metadata: dict[str, str]) -> None:
        path = tmp_path / "a.safetensors"
        save_file({"albedo_mean": np.zeros((4, 4, 3)), "albedo_basis": np.zeros((1, 4, 4, 3))}, path, metadata)
        with pytest.raises(AssetError, match="not an albedo model file"):
            load_albedo(path)

    def test_arrays_that_do_not_fit(self, tmp_path: Path) -> None:
        path = tmp_path / "a.safetensors"
        save_file({"albedo_mean": np.zeros((4, 4, 3)), "albedo_basis": np.zeros((1, 4, 5, 3))}, path, OWN)
        with pytest.raises(AssetError, match="do not fit"):
            load_albedo(path)
        save_file({"albedo_mean": np.full((4, 4, 3), np.nan), "albedo_basis": np.zeros((1, 4, 4, 3))}, path, OWN)
        with pytest.raises(AssetError, match="not finite"):
            load_albedo(path)
