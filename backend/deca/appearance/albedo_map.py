"""The colour of skin without the photo's light: what a renderer lights again.

A photo is albedo times shading (DECA, Eqs. 2 and 3). Spherical harmonics, fitted with the albedo model, say how the
light falls on the head. What photo and model then still differ by, as far as it is broad, is cast shadows and
highlights. How bright and which colour the skin is itself, no photo says: a dark skin in bright light looks like a
light one in dim light. It is guessed from the photo's own tone, as cameras expose people, and told by the face
(`deca.networks.skin_tone`).

Shape suffixes: H W rows and columns of the UV map, S of a small one, A albedo coefficients.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deca.appearance.albedo import AlbedoModel
from deca.appearance.beard import HAIRS, bearded
from deca.appearance.blend import push_pull, weighted_mean
from deca.appearance.light import fit_albedo_and_light
from deca.appearance.skin import to_lab, to_srgb
from deca.render.lighting import sh_basis

_FIT_SIZE, _SIZE = 64, 256
"""Rows of the maps on which the light is fitted, and what is left over of it is found."""
_LEAST_SHADING = 0.05
_ON_HAIR = 0.35
"""Steps of the logarithm, up and down, by which what takes the light out may differ on hair from what it is on most of
the skin: a beard's rim in shade became white, and grey ones yellow. By eye."""
_BROAD, _EDGE = 6.0, 0.4
"""Texels (of 256) and steps of the logarithm over which the rest of the light is smoothed: edges of cast shadows stay
edges, and wrinkles dark. On 60 photos of synthetic people under hard light the albedo errs by 0.015 (of 0..1, exposure
and lamp given), without this step by 0.017, with half of the light's direction taken out by 0.065."""
_LIGHTNESS, _HUE = 0.8, 0.7
"""Shares of the rest that are light, and not the person's own colours, which the albedo model may not know; by eye."""
_TONE_34 = np.array(((-0.209, -0.562, 1.159, 0.140), (-0.689, -0.269, 1.393, 0.109), (-0.775, -0.714, 1.986, 0.092)))
"""Logarithm of the skin's sRGB from that of its median on the photo, half white balanced, its hue within `_HUES_22`,
and 1: least squares (ridge 0.02) over 77 photos of 40 synthetic people as the product reads them. An earlier fit made
everybody's skin darker by an L of 4."""
_GUESSED = 0.7
"""Share of that guess in the skin's tone; the rest is the photo's own tone. On synthetic people all of it is best
(CIEDE2000 4.8 on the half that it was not fitted to; 0.8 of it 5.1, 0.6 of it 5.6), but on portraits that makes warm
light into dark skin and everybody's skin olive."""
_DIM, _FARTHEST = 0.25, 0.7
"""Steps of the logarithm, down and up, beyond which the guess is not believed: coloured lamps are stranger than any
skin, and photos are too dark, against the sky, more often than too bright. By eye."""
_TOLD = 0.7
"""Share of what the face tells in the skin's lightness. On 167 portraits whose lightness was told by eye (p000 to p249,
people left out of the fit) the root mean square error is 6.8 L* by the photo's tone alone, 3.8 with half of it, 3.0
with this, and 3.0 with all of it, where paint and a tan would no longer count."""
_WHITENED = 0.5
"""Power of the lamp's tint that is taken out: red skin looks like a warm lamp, and would become grey; by eye."""
_HUES_22 = np.array(((0.10, 0.48), (-0.42, -0.05)))
"""ln(red / green) and ln(blue / green) of skin, sRGB, from and to: pale (0.15, -0.08), brown (0.37, -0.30) and very
dark (0.41, -0.29) lie within. What is beyond is a lamp's colour, however much of it the eyes' whites show."""
_LAMP = 0.15
"""How far beyond these hues a lamp's colour hides whether skin is dark: the guess goes by the hue. By eye."""
_DARKEST = 0.27
"""Mean sRGB of the darkest skin (L* of 28)."""
_ENOUGH = 200
"""Texels of 256 x 256 that must show skin."""


def without_light(
    photo_HW3: NDArray[np.float32],
    bare_HW: NDArray[np.bool_],
    normals_HW3: NDArray[np.float32],
    model: AlbedoModel,
    tint_3: NDArray[np.float32],
    lightness: float | None = None,
    beard_HW: NDArray[np.float32] | None = None,
) -> NDArray[np.float32] | None:
    """The albedo (H, W, 3), sRGB, of a photo laid out as a UV map; None where it shows too little skin.

    Args:
        photo_HW3: Display values, 0..1; meaningless where the photo shows nothing.
        bare_HW: Where it shows bare skin.
        normals_HW3: Normals of the posed head, head space.
        model: Albedo model of the head.
        tint_3: Of the photo's light (`White.tint_3`).
        lightness: L* of the skin, as far as the face tells it.
        beard_HW: Where dark hair may be a beard, 0..1.
    """
    size = (_SIZE, _SIZE)
    bare = cv2.resize(bare_HW.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    if (bare > 0.99).sum() < _ENOUGH:
        return None
    photo = cv2.resize(photo_HW3 * bare_HW[..., None], size, interpolation=cv2.INTER_AREA)
    photo = np.maximum(photo / np.maximum(bare, 1e-3)[..., None], 0.01)
    normals = _unit(cv2.resize(normals_HW3, size, interpolation=cv2.INTER_AREA))
    weight = (bare > 0.5).astype(np.float32)

    def small(map_HW: NDArray) -> NDArray[np.float32]:
        return np.asarray(cv2.resize(map_HW, (_FIT_SIZE, _FIT_SIZE), interpolation=cv2.INTER_AREA), np.float32)

    share_SS = small(weight)
    photo_SS3 = small(photo * weight[..., None]) / np.maximum(share_SS, 1e-3)[..., None]
    albedo_A, light_93 = fit_albedo_and_light(
        photo_SS3, share_SS * (share_SS > 0.5), _unit(small(normals)), *model.arrays(_FIT_SIZE)
    )
    with torch.inference_mode():
        known = model(torch.from_numpy(albedo_A)[None].to(model.mean_X))[0].permute(1, 2, 0).cpu().numpy()
    known = cv2.resize(known, size, interpolation=cv2.INTER_LINEAR).clip(0.02, 1)
    shading = (_bands(normals) @ light_93).clip(_LEAST_SHADING)
    rest = np.log(photo / shading / known).astype(np.float32)
    if beard_HW is not None:
        beard = cv2.resize(beard_HW, size, interpolation=cv2.INTER_AREA)
        beyond = weighted_mean(rest, weight, HAIRS).mean(-1)
        weight = weight * (1 - bearded(beyond, photo_HW3, bare_HW, weight > 0, beard))
    rest = push_pull(rest, weight)
    rest = cv2.bilateralFilter(rest, -1, _EDGE, _BROAD)
    lighter = rest.mean(-1, keepdims=True)
    factor = np.exp(-_LIGHTNESS * lighter - _HUE * (rest - lighter)) / shading
    certain = bare > 0.99
    factor = _calm_on_hair(factor, np.median(factor[certain], axis=0), weight)
    found_3 = np.median((photo * factor)[certain], axis=0)
    tone_3 = skin_tone(np.median(photo[certain], axis=0) / tint_3**_WHITENED, lightness)
    factor *= tone_3 / np.maximum(found_3, 0.01)
    factor_HW3 = cv2.resize(factor.astype(np.float32), photo_HW3.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(photo_HW3 * factor_HW3, np.float32)


def _calm_on_hair(
    factor_HW3: NDArray[np.floating], usual_3: NDArray[np.floating], weight_HW: NDArray[np.float32]
) -> NDArray[np.floating]:
    """What takes the light out; on hair hardly stronger than usual and of the usual hue: its own light is not known."""
    beyond_HW3 = np.log(factor_HW3 / usual_3)
    lighter_HW1 = beyond_HW3.mean(-1, keepdims=True)
    on_skin_HW1 = cv2.GaussianBlur(weight_HW, (0, 0), HAIRS)[..., None]
    beyond_HW3 = lighter_HW1.clip(-_ON_HAIR, _ON_HAIR) * (1 - on_skin_HW1) + beyond_HW3 * on_skin_HW1
    return usual_3 * np.exp(beyond_HW3)


def skin_tone(photographed_3: NDArray[np.floating], lightness: float | None = None) -> NDArray[np.float32]:
    """A probable sRGB of a skin whose median on a photo, white balanced, is this, and whose face tells this L*."""
    own_3 = np.log(np.maximum(photographed_3, 0.01))
    shown_2 = own_3[[0, 2]] - own_3[1]
    hue_2 = shown_2.clip(*_HUES_22.T)
    own_3 = own_3[1] + np.array((hue_2[0], 0.0, hue_2[1]))
    known = np.exp(-(((shown_2 - hue_2) / _LAMP) ** 2).sum())
    beyond_3 = (_TONE_34 @ np.append(own_3, 1.0) - own_3).clip(-_DIM * known, _FARTHEST)
    tone_3 = np.exp(own_3 + _GUESSED * beyond_3)
    tone_3 = (tone_3 * max(_DARKEST / tone_3.mean(), 1.0)).clip(0.02, 0.95).astype(np.float32)
    if lightness is None:
        return tone_3
    lab_3 = to_lab(tone_3)
    return to_srgb(lab_3 + np.array((_TOLD * (lightness - lab_3[0]), 0, 0), np.float32)).clip(0.02, 0.95)


def _unit(normals_HW3: NDArray) -> NDArray[np.float32]:
    return np.asarray(normals_HW3 / np.maximum(np.linalg.norm(normals_HW3, axis=-1, keepdims=True), 1e-6), np.float32)


def _bands(normals_HW3: NDArray[np.float32]) -> NDArray[np.float32]:
    """Spherical harmonics (H, W, 9) of normals."""
    normals_13N = torch.from_numpy(np.ascontiguousarray(normals_HW3.reshape(-1, 3).T))[None]
    return sh_basis(normals_13N)[0].T.numpy().reshape(*normals_HW3.shape[:2], 9)
