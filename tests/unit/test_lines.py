"""Lines that the relief knows leave the albedo; all else stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from deca.appearance.lines import without_lines
from deca.appearance.skin_map import SkinMap
from deca.appearance.texture import Texture
from deca.appearance.trust import regions_of
from deca.head import load_head
from deca.networks.skin_map import Kind
from deca.render.detail import DETAIL_MASK
from deca.render.uv import texels_of, uv_mask

SKIN = np.array((190, 150, 130), np.uint8)
DARK = 0.7
"""Of the skin's display values, in a line or a mole."""


@pytest.mark.parametrize("size", [256, 512])
class TestWithoutLines:
    def texture(self, size: int) -> tuple[Texture, np.ndarray, int, int]:
        """Skin with a dark line across the left of the mask's middle and a mole on its right; and the line's relief."""
        mask_HW = uv_mask(load_head(), DETAIL_MASK).numpy()
        row = 60
        columns = np.flatnonzero(mask_HW[row] == 1)
        line, mole = int(columns[len(columns) // 4]), int(columns[3 * len(columns) // 4])
        albedo_NN3, times = np.tile(SKIN, (size, size, 1)), size // 256
        for column, reach in ((line, 12), (mole, 2)):
            part = np.s_[(row - reach) * times : (row + reach) * times, column * times : (column + 2) * times]
            albedo_NN3[part] = np.rint(DARK * albedo_NN3[part])
        relief_HW = np.zeros((256, 256), np.float32)
        relief_HW[row - 12 : row + 12, line : line + 2] = -0.4e-3
        return Texture(albedo_NN3, albedo_NN3.copy()), relief_HW, line, mole

    def test_a_line_of_the_relief_goes_and_a_mole_stays(self, size: int) -> None:
        texture, relief_HW, line, mole = self.texture(size)
        found = without_lines(texture, relief_HW, load_head())
        times = size // 256
        in_line, beside = found.albedo_NN3[60 * times, line * times].astype(float), SKIN.astype(float)
        assert np.all(in_line > (DARK + 0.5 * (1 - DARK)) * beside)
        np.testing.assert_allclose(in_line / in_line.sum(), beside / beside.sum(), atol=0.01)  # its colour is skin's
        spot = np.s_[57 * times : 63 * times, (mole - 3) * times : (mole + 5) * times]
        np.testing.assert_array_equal(found.albedo_NN3[spot], texture.albedo_NN3[spot])

    def test_the_photo_keeps_its_lines(self, size: int) -> None:
        texture, relief_HW, _, _ = self.texture(size)
        found = without_lines(texture, relief_HW, load_head())
        np.testing.assert_array_equal(found.photographed_NN3, texture.photographed_NN3)

    def test_without_relief_nothing_changes(self, size: int) -> None:
        texture, relief_HW, _, _ = self.texture(size)
        found = without_lines(texture, 0 * relief_HW, load_head())
        np.testing.assert_array_equal(found.albedo_NN3, texture.albedo_NN3)

    def test_hair_of_the_skin_map_stays(self, size: int) -> None:
        texture, relief_HW, _, _ = self.texture(size)
        kinds_KHW = np.zeros((len(Kind), 256, 256), np.float32)
        kinds_KHW[Kind.FACIAL_HAIR] = 1
        found = without_lines(texture, relief_HW, load_head(), SkinMap(kinds_KHW))
        np.testing.assert_array_equal(found.albedo_NN3, texture.albedo_NN3)

    def test_a_beard_stays_that_relief_takes_for_lines(self, size: int) -> None:
        head = load_head()
        beard_HW = cv2.resize((regions_of(texels_of(head, 256)).beard > 0.9).astype(np.uint8), (size, size)) > 0
        hairs = 0.3 * np.random.default_rng(0).lognormal(0, 0.5, (size, size, 1))
        albedo_NN3 = np.where(beard_HW[..., None], hairs * SKIN, SKIN).clip(0, 255).astype(np.uint8)
        deep_HW = np.where(cv2.resize(beard_HW.astype(np.uint8), (256, 256)) > 0, 4e-4, 0)
        relief_HW = deep_HW * np.random.default_rng(1).normal(size=(256, 256))
        found = without_lines(Texture(albedo_NN3, albedo_NN3), relief_HW, head).albedo_NN3
        inside_HW = cv2.erode(beard_HW.astype(np.uint8), np.ones((9 * size // 256,) * 2)) > 0
        kept = found[inside_HW].astype(float).std() / albedo_NN3[inside_HW].astype(float).std()
        assert inside_HW.sum() > 50 and kept > 0.8
