"""Notices of textures: what is measured on drawn photos, what is told, and its words."""

from __future__ import annotations

import numpy as np
import pytest

from deca.appearance import notices
from deca.appearance.skin_map import SkinMap
from deca.appearance.trust import regions_of
from deca.appearance.white import White
from deca.head.model import load_head
from deca.networks.skin_map import Kind
from deca.render.uv import texels_of
from deca_blender.protocol.messages import Notice
from deca_blender.protocol.notices import CAST, GLASSES, MIRRORED, SHADOW, SMALL, sentence, told

SIZE = 256
SKIN = np.array((0.75, 0.58, 0.48), np.float32)


def noticed(
    right: float = 1.0, unseen: float = 0.0, width: float = 400, tint: tuple = (1, 1, 1), glasses: float = 0.0
) -> dict[str, float]:
    """What is told of a face whose right half is darker by a factor, of which a share is unseen, and so on."""
    head = load_head()
    texels = texels_of(head, SIZE)
    aside_HW = texels.interpolate(head.template_V3[:, 0])
    photo_HW3 = np.where(aside_HW[..., None] < 0, right, 1.0).astype(np.float32) * SKIN
    weight_HW = np.full((SIZE, SIZE), 1 - unseen, np.float32)
    mirrored_HW = np.ones_like(weight_HW)
    landmarks_L2 = np.zeros((478, 2))
    landmarks_L2[454] = 0.6 * width, 0.8 * width
    kinds_KHW = np.zeros((len(Kind), SIZE, SIZE), np.float32)
    kinds_KHW[Kind.SKIN], kinds_KHW[Kind.GLASSES] = 1 - glasses, glasses
    white = White(np.array(tint, np.float32), 1.0)
    regions = regions_of(texels)
    found = notices.notices_of(
        photo_HW3, weight_HW, mirrored_HW, regions, texels, white, landmarks_L2, SkinMap(kinds_KHW)
    )
    return {notice.code: notice.value for notice in found}


def test_a_good_photo_needs_no_notice() -> None:
    assert noticed() == {}


@pytest.mark.parametrize(
    ("code", "photo", "value", "tolerance"),
    [
        (MIRRORED, {"unseen": 0.4}, 0.4, 1e-3),
        (SHADOW, {"right": 0.45}, 35.0, 5.0),
        (SMALL, {"width": 90}, 90.0, 0.01),
        (CAST, {"tint": (1.25, 1.0, 0.75)}, 36.0, 8.0),
        (GLASSES, {"glasses": 0.9}, 1.0, 1e-6),
    ],
)
def test_each_is_told_alone_with_its_number(code: str, photo: dict, value: float, tolerance: float) -> None:
    found = noticed(**photo)
    assert list(found) == [code]
    assert abs(found[code] - value) < tolerance, found


def test_words_and_lines() -> None:
    assert "31%" in sentence(MIRRORED, 0.3149)
    assert sentence("of a later version", 3.0) == "of a later version: 3"
    (line,) = told([Notice(SMALL, 92.4)])
    assert (line["code"], line["value"]) == (SMALL, 92.4) and "92 pixels" in str(line["text"])
