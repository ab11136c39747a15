"""How near a baked wrinkle rig comes to the live map, of heads that wear the relief of their photo.

    python tests/benchmarks/bench_rig.py PHOTO... [--relief FILE] [--maps 16] [--expressions 500]

A rig is fitted to as many expressions as *Bake Wrinkle Rig* takes, and measured on others: the share of the texels
within 0.15 mm, and 95 % and all of them in millimetres; `at_rest`, as what a rig has to beat, is the share of a map
that never moves. A JSON line for each photo, and one for all. No Blender is needed.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deca.networks.relief import load_relief
from deca.reconstruct.models import Models, load_models
from deca.reconstruct.moving_relief import Shares
from deca.reconstruct.pipeline import reconstruct
from deca.vision import read_photo
from deca_blender.core import wrinkle_rig
from deca_blender.protocol.conventions import BUILTIN_WEIGHTS

FITTED = 400
"""Expressions, as in `deca_blender.scene.bake`."""
BATCH = 20


def maps_of(models: Models, detail_D: NDArray, reliefs: Shares, inputs_NX: NDArray[np.float32]) -> NDArray:
    """Live maps (N, 256, 256), metres."""
    made = []
    for rows in torch.from_numpy(inputs_NX).split(BATCH):
        detail_BD = torch.from_numpy(detail_D).expand(len(rows), -1)
        parts = rows[:, : wrinkle_rig.NUM_EXPRESSION], rows[:, wrinkle_rig.NUM_EXPRESSION :]
        made.append(models.displacement(detail_BD, *parts, reliefs)[:, 0].numpy())
    return np.concatenate(made)


def measure(models: Models, detail_D: NDArray, reliefs: Shares, options: argparse.Namespace) -> dict[str, float]:
    """Errors of a rig, and the share within tolerance of its map at rest."""
    head = models.head
    inputs_NX = wrinkle_rig.sample_inputs(
        np.random.default_rng(options.seed), FITTED + options.expressions, head.arkit_map_K52
    )
    maps_NHW = maps_of(models, detail_D, reliefs, np.concatenate((np.zeros_like(inputs_NX[:1]), inputs_NX)))
    rest_HW, maps_NHW = maps_NHW[0], maps_NHW[1:]
    rig = wrinkle_rig.fit(inputs_NX[:FITTED], maps_NHW[:FITTED], rest_HW, options.maps)
    still = replace(rig, maps_KHW=np.zeros_like(rig.maps_KHW))
    error, without = (wrinkle_rig.measure(kept, inputs_NX[FITTED:], maps_NHW[FITTED:]) for kept in (rig, still))
    return {name: round(value, 4) for name, value in asdict(error).items()} | {"at_rest": round(without.within, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO")
    parser.add_argument("--relief", type=Path, metavar="FILE", help="another relief network")
    parser.add_argument("--maps", type=int, default=wrinkle_rig.NUM_MAPS)
    parser.add_argument("--expressions", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    models = load_models(weights=BUILTIN_WEIGHTS)
    if options.relief is not None:
        models = Models(models.head, models.networks, relief=load_relief(options.relief))
    within = []
    for path in options.photos:
        face = reconstruct(read_photo(path), path=path, models=models, texture_size=None, max_faces=1)[0]
        assert face.detail_D is not None and face.reliefs
        with torch.inference_mode():
            found = measure(models, face.detail_D, face.reliefs, options)
        within.append(found["within"])
        print(json.dumps({"photo": path.name} | found), flush=True)
    print(json.dumps({"within_mean": round(float(np.mean(within)), 4), "within_least": min(within)}))


if __name__ == "__main__":
    main()
