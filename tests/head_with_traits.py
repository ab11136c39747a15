"""OpenHead with age and sex of the tests' own making, whatever the bundled file knows of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from deca.assets import asset
from deca.head import HeadModel
from deca.head.traits import Trait

AGE = {"name": "age", "unit": "years", "mean": 45.0, "deviation": 17.0}
SEX = {"name": "sex", "unit": "-1 women, +1 men", "mean": 0.0, "deviation": 1.0}


def trait_codes() -> NDArray[np.float32]:
    """Codes (300, 2) of age and sex, not square to each other, mostly in the first coefficients, as people's are."""
    codes_ST = np.random.default_rng(11).standard_normal((300, 2)) * np.exp(-np.arange(300) / 20)[:, None]
    codes_ST /= np.linalg.norm(codes_ST, axis=0)
    codes_ST[:, 1] += 0.3 * codes_ST[:, 0]
    return (codes_ST * (0.6, 0.7)).astype(np.float32)


def with_traits(head: HeadModel) -> HeadModel:
    """A head model with these traits."""
    traits = (Trait(**described, code_S=code_S) for described, code_S in zip((AGE, SEX), trait_codes().T, strict=True))
    return replace(head, traits=tuple(traits))


def write_head(path: Path, codes_ST: NDArray | None, traits: list | None = None) -> Path:
    """Writes the bundled head model with other traits, or with none."""
    with safe_open(str(asset("openhead/openhead.safetensors")), framework="numpy") as file:
        metadata, tensors = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}
    metadata.pop("traits", None)
    metadata.pop("codes_of", None)  # it becomes another head
    tensors.pop("trait_codes", None)
    if codes_ST is not None:
        tensors["trait_codes"] = codes_ST
        metadata["traits"] = json.dumps([AGE, SEX] if traits is None else traits)
    save_file(tensors, path, metadata)
    return path
