"""The oracle of these checks and `deca.head` agree (only where torch is installed)."""

from __future__ import annotations

import blender_case as case
import numpy as np


def test_oracle_equals_the_head_layer() -> None:
    try:
        import torch
    except ImportError as error:
        raise case.Skip("torch is not installed here") from error
    from deca.head import load_head
    from deca.head.layer import HeadLayer

    head, layer = case.head_reply(), HeadLayer(load_head(), case.NUM_SHAPE, 50)
    for seed in range(3):
        face = case.face_reply(head, seed)
        codes = (torch.from_numpy(array)[None] for array in (face.shape, face.expression, face.pose))
        verts = layer(*codes)[0].numpy()
        assert np.abs(verts - case.posed_verts(head, face.shape, face.expression, face.pose)).max() < 1e-6


case.main(globals())
