"""Reads weights that users bring: files of tensors, nothing of which is run."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from deca.errors import AssetError
from deca.head.unpickle import read_pickle

_COPY = "Copy or download the file again from its source."


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, of a `torch.save` file, or of a plain pickle of NumPy arrays.

    Raises:
        AssetError: The file is missing or damaged, or holds more than named tensors.
    """
    if not path.is_file():
        raise AssetError(f"The weights {path} do not exist.", "Check the path.")
    content = _read(path)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]  # as training scripts save it
    if not isinstance(content, Mapping) or not content:
        raise AssetError(f"{path} holds no named tensors.", "Point at a file with a network's state dict.")
    state: dict[str, Tensor] = {}
    for name, value in content.items():
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(value.copy())
        if not isinstance(value, Tensor):
            raise AssetError(
                f"{path} holds {name!r}, which is no tensor.", "Point at a file with a network's state dict."
            )
        state[str(name).removeprefix("module.")] = value
    return state


def _read(path: Path) -> object:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise AssetError(f"{path} is damaged ({error}).", _COPY) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch speaks of pickle protocols
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as torch_error:  # damaged bytes make torch's reader fail in every possible way
        try:
            return read_pickle(path)  # refuses whatever is no array, by name
        except AssetError as error:
            refused = isinstance(torch_error, pickle.UnpicklingError) and "GLOBAL" in str(torch_error)
            more = " It asks for more than tensors; nothing of it was run." if refused else ""
            raise AssetError(f"{error.message}{more}", _COPY) from torch_error
