"""Which weights are loaded: the built-in ones, the user's, or none."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deca.assets import assets_dir
from deca.errors import AssetError, DecaWarning
from deca.head import HeadModel, load_head
from deca.networks import Card, Networks, random_checkpoint, save_checkpoint
from deca.reconstruct.models import builtin_networks, load_models
from deca.service import handlers
from deca.service.device import Device
from deca_blender.protocol.conventions import BUILTIN_WEIGHTS
from deca_blender.protocol.messages import DecodeWrinkles, DescribeWeights, Request


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, head: HeadModel) -> Path:
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_checkpoint(random_checkpoint(0, Card.of(head, backbone="mobilenet_v3_large")), path)
    return path


@pytest.fixture
def builtin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the built-in weights would be, in assets that are otherwise the bundled ones."""
    (tmp_path / "openhead").symlink_to(assets_dir() / "openhead", target_is_directory=True)
    path = tmp_path / "weights/openhead.safetensors"
    path.parent.mkdir()
    monkeypatch.setenv("DECA_ASSETS", str(tmp_path))
    handlers._load_models.cache_clear()
    yield path
    handlers._load_models.cache_clear()


def loaded(weights: str | Path | None = BUILTIN_WEIGHTS) -> Networks | None:
    """The networks of a models; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DecaWarning)
        return load_models(weights=weights).networks


def test_missing_weights_are_no_matter(builtin: Path) -> None:
    assert loaded() is None


def test_they_are_used_unless_the_user_chose_others(builtin: Path, weights: Path, tmp_path: Path) -> None:
    builtin.write_bytes(weights.read_bytes())
    networks = loaded()
    assert networks is not None and networks.hash == Networks.load(weights).hash
    assert loaded(None) is None
    chosen = tmp_path / "chosen.safetensors"
    save_checkpoint(random_checkpoint(1, networks.card), chosen)
    own = loaded(chosen)
    assert own is not None and own.hash not in ("", networks.hash)


def test_damaged_weights_are_told_of_and_left_out(builtin: Path, weights: Path) -> None:
    builtin.write_bytes(weights.read_bytes()[:-1000])
    with pytest.warns(DecaWarning, match=r"built-in weights cannot be used.*damaged.*Reinstall"):
        assert load_models(weights=BUILTIN_WEIGHTS).networks is None


def test_weights_of_another_head_are_told_of_and_left_out(builtin: Path, head: HeadModel) -> None:
    card = replace(Card.of(head, backbone="mobilenet_v3_large"), head_hash="0123456789abcdef")
    save_checkpoint(random_checkpoint(0, card), builtin)
    with pytest.warns(DecaWarning, match=r"built-in weights cannot be used.*0123456789abcdef"):
        assert load_models(weights=BUILTIN_WEIGHTS).networks is None


def test_other_head_models_have_none(builtin: Path, weights: Path, head: HeadModel) -> None:
    builtin.write_bytes(weights.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("error", DecaWarning)
        assert builtin_networks(replace(head, name="FLAME 2020")) is None


def test_the_service_uses_them_and_says_what_is_wrong(builtin: Path, weights: Path) -> None:
    def ask(request: Request) -> Any:
        return handlers.make_handlers(Device("cpu"))[type(request)](request, lambda fraction, text: None)

    with pytest.raises(AssetError, match="no built-in weights for openhead"):
        ask(DescribeWeights(""))
    builtin.write_bytes(weights.read_bytes())
    described = ask(DescribeWeights(""))
    assert described.hash == ask(DescribeWeights(str(weights))).hash
    codes = np.ones(128, np.float32), np.zeros(50, np.float32), np.zeros(3, np.float32)
    by_builtin, by_file = (ask(DecodeWrinkles(name, described.hash, *codes)) for name in ("", str(weights)))
    np.testing.assert_array_equal(by_builtin.displacement, by_file.displacement)
    with pytest.raises(AssetError, match="than the built-in ones"):
        ask(DecodeWrinkles("", "0" * 16, *codes))
    ask(DecodeWrinkles("", described.hash, *codes, head_hash=described.head_hash))
    with pytest.raises(AssetError, match="made with an earlier OpenHead") as refused:
        ask(DecodeWrinkles("", "0" * 16, *codes, head_hash="0123456789abcdef"))
    assert "go on working" in refused.value.hint and "import the photo again" in refused.value.hint
    builtin.write_bytes(b"nothing of use")  # is noticed without a restart
    _, notices = handlers._models("openhead", "", Device("cpu"))
    assert len(notices) == 1 and "cannot be used" in notices[0]
    with pytest.raises(AssetError, match="cannot be used"):
        ask(DescribeWeights(""))
