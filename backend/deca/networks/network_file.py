"""Weights files of one network: safetensors with the tensors in half precision, and metadata `format`, `version`
and `card` (JSON, the fields of a dataclass)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from deca.errors import AssetError, DecaError
from deca.files import in_order, read_safetensors, write_file

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Card = TypeVar("Card")

COPY = "Copy or download the file again from its source."


def save_network(network: nn.Module, card: DataclassInstance, kind: str, version: str, path: str | Path) -> None:
    """Writes a weights file, in one piece; the same network gives the same bytes.

    Args:
        network: The network, in any precision.
        card: What it is.
        kind, version: Of the file: `format` and `version` of its metadata.
        path: The file.

    Raises:
        OutputError: The file cannot be written.
    """
    tensors = {
        key: tensor.detach().cpu().to(torch.float16 if tensor.is_floating_point() else tensor.dtype).contiguous()
        for key, tensor in network.state_dict().items()
    }
    metadata = {"format": kind, "version": version, "card": json.dumps(asdict(card))}
    write_file(Path(path), in_order(save(tensors, metadata)))


def read_network(path: Path, what: str, kind: str, version: str) -> tuple[dict[str, NDArray], dict[str, str]]:
    """Tensors and metadata of a weights file.

    Args:
        path: The file.
        what: What the network is called: "relief", which `deca-train relief` makes.
        kind, version: As `save_network` has them.

    Raises:
        AssetError: The file is missing, damaged or of another kind.
    """
    arrays, metadata = read_safetensors(path, f"{what} weights file", COPY)
    if (metadata.get("format"), metadata.get("version")) != (kind, version):
        raise AssetError(
            f"{path} holds no {what} weights of version {version} (format {metadata.get('format')!r}, version"
            f" {metadata.get('version')!r}).",
            f"Make some with `deca-train {what}`.",
        )
    return arrays, metadata


def read_card(metadata: Mapping[str, str], card: Callable[..., Card], what: str, path: Path) -> Card:
    """The card in a weights file's metadata.

    Args:
        metadata: As `read_network` gives it.
        card: What its values make.
        what: What the network is called in words.
        path: The file.

    Raises:
        AssetError: It is missing or damaged.
    """
    try:
        return card(**json.loads(metadata["card"]))
    except (KeyError, TypeError, ValueError, DecaError) as error:
        raise AssetError(f"The card of the {what} weights file {path} is damaged ({error}).", COPY) from error


def fill_network(network: nn.Module, arrays: Mapping[str, NDArray], path: Path) -> None:
    """Gives a network the tensors of its weights file.

    Raises:
        AssetError: A tensor is missing, has another shape or type, or holds numbers that are not finite.
    """
    state = {}
    for key, place in network.state_dict().items():
        found = torch.from_numpy(arrays[key]) if key in arrays else None
        if found is None or found.shape != place.shape or found.is_floating_point() != place.is_floating_point():
            what = "lacks" if found is None else f"holds {tuple(found.shape)} {found.dtype} as"
            raise AssetError(f"{path} {what} {key}, expected with shape {tuple(place.shape)}.", COPY)
        if not found.isfinite().all():
            raise AssetError(f"{path}: {key} holds numbers that are infinite or not a number.", COPY)
        state[key] = found.to(place.dtype)
    network.load_state_dict(state)
