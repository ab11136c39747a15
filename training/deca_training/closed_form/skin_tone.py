"""`deca-train skin-tone`: teaches how light people's skin is by their faces.

Synthetic people cannot teach it: their skin has no more to do with their features than dice have. So real photos do,
whose lightness was told by eye.

Shape suffixes: N photos, D descriptor.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deca.errors import AssetError
from deca.networks.skin_tone import SkinTone, SkinToneCard, save_skin_tone
from deca.reconstruct.same_person import describe
from deca_training.closed_form.photo_table import faces_of, read_photo_table
from deca_training.closed_form.told_traits import readout

FILE = "tones.csv"
"""In a folder of portraits: a line per photo, `photo,lightness`: L* of the skin in white light."""
_LIGHTNESSES = 15.0, 90.0
"""L*: what is beyond is a mistake."""
_FEWEST = 40
"""Photos that a map is trusted from."""
LICENCE = "CC0-1.0"


def read_tones(path: Path) -> dict[str, float]:
    """Lightness by photo; see `FILE`.

    Raises:
        AssetError: The file is missing or damaged.
    """
    lines = "`photo,lightness`, as p001/1.jpg,63"
    return read_photo_table(path, lambda row: _lightness(row["lightness"]), "skin tones", lines)


def _lightness(text: str) -> float:
    lightness = float(text)
    if not _LIGHTNESSES[0] <= lightness <= _LIGHTNESSES[1]:
        raise ValueError(f"a lightness of {text}")
    return lightness


def fit_skin_tone(portraits: Path, tones: Path, out: Path) -> str:
    """Writes a weights file; returns what was measured, in words.

    Args:
        portraits: Folder of photos.
        tones: File of the lightness of people on them.
        out: The file.

    Raises:
        AssetError: The file of tones is missing or damaged, or there are too few photos.
        OutputError: The file cannot be written.
    """
    described_ND, lightness_N = _described(portraits, read_tones(tones))
    weight_D, bias, correlation = readout(described_ND, lightness_N)
    card = SkinToneCard(f"{len(lightness_N)} portraits, by eye", round(correlation, 3), LICENCE)
    network = SkinTone(card)
    with torch.no_grad():
        network.layer.weight.copy_(torch.from_numpy(weight_D)[None])
        network.layer.bias.fill_(bias)
    save_skin_tone(network, out)
    return f"lightness told of {len(lightness_N)} people left out: r {correlation:.2f}"


def _described(portraits: Path, tones: Mapping[str, float]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    described, known = [], []
    for photo, face, lightness in faces_of(portraits, tones):
        described.append(describe(photo, [face])[0])
        known.append(lightness)
    if len(known) < _FEWEST:
        raise AssetError(f"{len(known)} photos with faces do not tell the skin's tone.", f"Give {_FEWEST} at least.")
    return np.array(described), np.array(known)
