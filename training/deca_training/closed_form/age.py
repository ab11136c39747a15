"""How detail codes change with age: the direction of Blender's *Wrinkle Age*, measured on synthetic people.

Which way is the least squares slope of E_d's codes on people's ages. How far is not: E_d is cautious, and its codes
differ less than the people do. So the direction is as long as it takes for F_d's wrinkles at rest to deepen by the
factor by which people's do in 20 years.

Shape suffixes: N people, D detail code, T steps along the direction, H W rows and columns of maps.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from deca.errors import AssetError
from deca.head import load_head
from deca.networks import MAP_SIZE, Checkpoint, check_head, load_checkpoint, save_checkpoint
from deca.render.detail import DETAIL_MASK
from deca.render.uv import uv_mask
from deca.vision.landmarks import LandmarkNet
from deca_training.data.dataset import pictures
from deca_training.data.synthetic import SyntheticSubjects
from deca_training.data.synthetic.seen import found_landmarks

UNIT = 20.0
"""Years of the stored direction."""
_FEWEST = 20
"""People that a slope is trusted from."""


class Ageing(NamedTuple):
    """What was measured.

    Attributes:
        direction_D: What 20 more years add to a code.
        deeper: By which factor wrinkles at rest deepen in these years.
        correlation: Of the people's ages and their codes along the direction.
    """

    direction_D: Tensor
    deeper: float
    correlation: float


def add_age(weights: Path, people: Path, out: Path) -> str:
    """Writes a weights file with the direction of age; its networks stay as they are, to the bit.

    Args:
        weights: A weights file.
        people: Folder of synthetic people.
        out: The file, in the precision of the weights.

    Returns:
        What was measured, in words.

    Raises:
        AssetError: A file is missing or damaged, the weights belong to another head, or codes do not tell the age.
        OutputError: The file cannot be written.
    """
    checkpoint = load_checkpoint(weights)
    ageing = age_direction(checkpoint, SyntheticSubjects(people), progress=True)
    tensors = (tensor for network in checkpoint.networks().values() for tensor in network.state_dict().values())
    is_half = all(torch.equal(tensor.half().float(), tensor) for tensor in tensors if tensor.is_floating_point())
    dtype = torch.float16 if is_half else torch.float32
    save_checkpoint(replace(checkpoint, age_D=ageing.direction_D), out, dtype)
    length = float(ageing.direction_D.norm())
    return (
        f"{UNIT:g} years: {length:.2f} along the codes, {ageing.deeper:.2f} times as deep (r {ageing.correlation:.2f})"
    )


@torch.no_grad()
def age_direction(checkpoint: Checkpoint, people: SyntheticSubjects, *, progress: bool = False) -> Ageing:
    """What 20 more years add to a detail code.

    Args:
        checkpoint: The networks, of the built-in head.
        people: Synthetic people, better those that E_d was not fitted to; of each the first photo is used.
        progress: Show a progress bar.

    Raises:
        AssetError: The weights belong to another head, there are too few people, or codes do not tell the age.
    """
    head = load_head()
    check_head(checkpoint.card, head)
    if len(people) < _FEWEST:
        raise AssetError(f"{len(people)} people do not tell how wrinkles change.", f"Make {_FEWEST} at least.")
    encoder, network = checkpoint.detail_encoder.eval(), LandmarkNet().eval()
    is_skin_HW = uv_mask(head, DETAIL_MASK, MAP_SIZE).numpy() > 0.5
    ages, codes, depths = [], [], []
    for person in tqdm(people, unit="subject", disable=not progress):
        landmarks_1L3 = torch.from_numpy(found_landmarks(person, network, 1)) if encoder.reads_landmarks else None
        codes.append(encoder(pictures([person.image_KHW3[0]]), landmarks_1L3)[0].double().numpy())
        depths.append(np.sqrt(np.square(person.neutral_displacement_HW[is_skin_HW], dtype=np.float64).mean()))
        ages.append(person.age)
    ages_N, codes_ND = np.array(ages), np.stack(codes)
    way_D = slope(ages_N, codes_ND)
    if not np.linalg.norm(way_D) > 0:
        raise AssetError("E_d of these weights gives everybody the same code.", "Train it first.")
    way_D /= np.linalg.norm(way_D)
    along_N = codes_ND @ way_D

    def depth(along: float) -> float:
        code_D = codes_ND.mean(0) + (along - along_N.mean()) * way_D
        rest = (torch.from_numpy(code_D).float()[None], torch.zeros(1, checkpoint.card.sizes.expression))
        map_HW = checkpoint.detail_decoder.eval()(*rest, torch.zeros(1, 3))[0, 0].double().numpy()
        return float(np.sqrt(np.square(map_HW[is_skin_HW]).mean()))

    deeper = float(np.exp(UNIT * slope(ages_N, np.log(depths))))
    length = _length(deeper, along_N, np.array([depth(along) for along in _steps(along_N)]))
    correlation = float(np.corrcoef(ages_N, along_N)[0, 1])
    return Ageing(torch.from_numpy(length * way_D).float(), deeper, correlation)


def slope(ages_N: NDArray[np.floating], values_NX: NDArray[np.floating]) -> NDArray[np.float64]:
    """Least squares change of values per year (X,)."""
    centred_N = ages_N - ages_N.mean()
    return np.tensordot(centred_N, values_NX, 1) / np.square(centred_N).sum()


def _steps(along_N: NDArray[np.floating]) -> NDArray[np.float64]:
    """Places along the direction where most people are."""
    return along_N.mean() + along_N.std() * np.linspace(-1, 1, 5)


def _length(deeper: float, along_N: NDArray[np.floating], depths_T: NDArray[np.floating]) -> float:
    """How far codes go for wrinkles that are deeper by a factor, by F_d's depths at `_steps`.

    Raises:
        AssetError: F_d's wrinkles do not deepen where people's do.
    """
    per_unit = np.polyfit(_steps(along_N), np.log(np.maximum(depths_T, 1e-9)), 1)[0]
    if per_unit <= 0 or deeper <= 1:
        raise AssetError("These networks do not deepen wrinkles with age.", "Train them longer.")
    return float(np.log(deeper) / per_unit)
