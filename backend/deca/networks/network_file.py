"""Weights files of one network: safetensors with the tensors in half precision, and metadata `format`, `version`
and `card` (JSON, the fields of a dataclass)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from deca.errors import AssetError
from deca.files import in_order, read_safetensors, write_file

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

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
