"""Where the embedded head's skin shines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from deca.appearance.gloss import skin_gloss
from deca.head.model import Part, load_head


def test_nose_forehead_and_lips_shine_and_cheeks_do_not() -> None:
    head = load_head()
    gloss_V = skin_gloss(head)
    assert gloss_V.shape == (head.num_verts,) and gloss_V.min() >= 0 and gloss_V.max() <= 1
    assert not gloss_V[head.parts_V != Part.SKIN].any()
    landmarks = head.landmarks_478
    assert landmarks is not None
    points_L3 = landmarks.positions(head.template_V3, head.faces_F3)

    def at(landmark: int) -> float:
        return float(gloss_V[np.linalg.norm(head.template_V3 - points_L3[landmark], axis=1).argmin()])

    assert min(at(4), at(151)) > 0.4  # tip of the nose, forehead
    assert min(at(0), at(17)) > 0.5  # the borders of the lips
    assert max(at(205), at(425), at(172)) < 0.15  # cheeks, jaw
    assert np.abs(gloss_V - gloss_V[head.mirror_V]).max() < 0.15


def test_a_head_without_landmarks_and_masks_is_matt() -> None:
    assert not skin_gloss(replace(load_head(), landmarks_478=None, masks={})).any()
