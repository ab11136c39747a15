"""OpenHead's UV masks: MakeHuman's mask textures carried over to the atlas, and what geometry defines.

The baking goes atlas pixel -> triangle -> source UV -> mask texture. On skin, face, ears, scalp and neck add up to one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator
from scipy.spatial import cKDTree

from .atlas import FACE_MIDDLE, HEAD, NECK
from .lids import MARGIN_RINGS, lid_grid
from .topology import EYE_LEFT, EYE_RIGHT, INNER_MOUTH, TEETH_LOWER, TEETH_UPPER, TONGUE

if TYPE_CHECKING:
    from .source import Source
    from .topology import Topology

SIZE = 512
SUPERSAMPLING = 2
GUTTER = 2 * SUPERSAMPLING
"""Fine pixels by which every mask is extended beyond its island, so that filtering at a seam finds no edge."""

NECK_TOP_Z = (-0.075, -0.040, -0.010)
NECK_TOP_Y = (-0.075, -0.050, -0.045)
"""Below this line, seen from the side, skin that is not face is neck: nape, below the ear, jaw and chin (metres)."""
NECK_SOFTNESS = 0.010

BROW_X = (0.008, 0.020, 0.034, 0.046, 0.056)
BROW_RISE = (0.0150, 0.0180, 0.0210, 0.0190, 0.0135)
"""Centre line of a brow: metres from the middle of the head, and above the eyeball's centre."""
BROW_HALF_HEIGHT = (0.0040, 0.0045, 0.0040, 0.0032, 0.0015)
BROW_SOFTNESS = 0.003

HAIR_AZIMUTH = (0.0, 8.0, 22.0, 36.0, 50.0, 57.0, 63.0, 69.0, 80.0, 100.0, 125.0, 180.0)
HAIR_ELEVATION = (39.0, 39.0, 42.0, 42.0, 29.0, 20.0, 6.0, -6.0, -9.0, -13.0, -26.0, -35.0)
"""Above this line hair grows; degrees from straight ahead and above the horizon, as seen from the middle of the head.
Its front lies 64 mm above the nasion (Farkas 1994: 67 mm men, 63 mm women); the temples recede, and there is a
sideburn."""
HAIR_SOFTNESS = 0.012

LASH_HALF_BREADTH, LASH_SOFTNESS = 0.0009, 0.0006
LASH_START = (0.14, 0.24)
"""Metres to each side of the front of the lids' margin; none in the inner corner, up to these shares of the eye."""


def build_masks(topology: Topology, vt_T2: np.ndarray, ft_F3: np.ndarray, source: Source) -> dict[str, np.ndarray]:
    """Paint the masks of the head model file.

    Args:
        topology: the mesh, with its template and its corners in the source's UV.
        vt_T2: texture coordinates of `build_atlas`.
        ft_F3: texture triangles of `build_atlas`.
        source: reader of MakeHuman's mask textures.

    Returns:
        Name -> (512, 512) uint8, top row first, soft-edged, exactly mirror-symmetric:
        `face` (front of the head up to the hairline, without ears; with eye openings and eyeballs), `face_no_eyes` (the
        same without openings and eyeballs), `eyes` (eyeballs), `lips`, `brows`, `eyelids`, `lashes` (the skin that they
        grow from), `ears`, `scalp`, `hairline` (the skin that hair grows on), `neck`, `mouth` (inner mouth, teeth,
        tongue).
    """
    triangle, bary = rasterise_uv(vt_T2, ft_F3, SIZE * SUPERSAMPLING)
    covered = triangle >= 0
    points = np.einsum("hwk,hwkc->hwc", bary, topology.template[topology.triangles[triangle]])
    skin = covered & np.isin(topology.island, (HEAD, NECK))[triangle]
    head = covered & (topology.island == HEAD)[triangle]
    part = topology.part[topology.triangles[triangle, 0]]
    inner = np.isin(topology.part, (INNER_MOUTH, TEETH_UPPER, TEETH_LOWER, TONGUE))[topology.triangles].any(-1)[
        triangle
    ]
    source_uv = np.einsum("hwk,hwkc->hwc", bary, np.nan_to_num(topology.source_uv[triangle]))

    def baked(name: str) -> np.ndarray:
        return np.where(head, _sample(source.texture(name), source_uv), 0.0)

    ears = baked("mpfb_ears")
    face_skin = baked("mpfb_face") * (1 - ears)
    below = np.interp(points[..., 2], NECK_TOP_Z, NECK_TOP_Y) - points[..., 1]
    neck = np.clip(0.5 + below / NECK_SOFTNESS, 0, 1)
    rest = np.where(skin, 1 - face_skin - ears, 0.0)
    eyes = (covered & np.isin(part, (EYE_LEFT, EYE_RIGHT))).astype(float)
    masks = {
        "face_no_eyes": face_skin,
        "eyes": eyes,
        "lips": baked("mpfb_lips"),
        "brows": np.where(head, _brows(points, topology), 0.0),
        "eyelids": baked("mpfb_eyelids"),
        "lashes": np.where(head, _lashes(points, topology), 0.0),
        "hairline": np.where(skin, _hair(points) * (1 - ears), 0.0),
        "ears": ears,
        "scalp": rest * (1 - neck),
        "neck": rest * neck,
        "mouth": (covered & inner).astype(float),
    }
    masks = {name: _extend(mask, covered) for name, mask in masks.items()}
    openings = np.asarray(ndimage.binary_fill_holes(skin)) & ~skin
    masks["face"] = np.maximum(np.maximum(masks["face_no_eyes"], masks["eyes"]), openings)
    return {name: _finish(mask) for name, mask in masks.items()}


def rasterise_uv(vt_T2: np.ndarray, ft_F3: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the triangle under every pixel centre of a square map, top row first.

    Returns:
        triangle: (size, size) int64, -1 where the map is empty.
        bary: (size, size, 3) barycentric coordinates, 0 where empty.
    """
    triangle = np.full((size, size), -1)
    bary = np.zeros((size, size, 3))
    pixels_F32 = np.stack([vt_T2[:, 0] * size, (1 - vt_T2[:, 1]) * size], -1).astype(np.float64)[ft_F3]
    low = np.clip(np.ceil(pixels_F32.min(1) - 0.5), 0, size).astype(int)
    high = np.clip(np.floor(pixels_F32.max(1) - 0.5) + 1, 0, size).astype(int)
    for index in np.flatnonzero((high > low).all(1)):
        (x0, y0), (x1, y1) = low[index], high[index]
        corner = pixels_F32[index]
        centres = np.stack(np.meshgrid(np.arange(x0, x1) + 0.5, np.arange(y0, y1) + 0.5), -1) - corner[0]
        edges = np.stack([corner[1] - corner[0], corner[2] - corner[0]], -1)
        two = centres @ np.linalg.inv(edges).T
        weights = np.concatenate([1 - two.sum(-1, keepdims=True), two], -1)
        inside = (weights >= 0).all(-1)
        triangle[y0:y1, x0:x1][inside] = index
        bary[y0:y1, x0:x1][inside] = weights[inside]
    return triangle, bary


def _sample(jpeg: bytes, uv: np.ndarray) -> np.ndarray:
    """Look a grey texture up bilinearly; values in 0..1."""
    grey = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise ValueError("a mask texture of the source is not a readable picture")
    texture = grey.astype(np.float32) / 255
    height, width = texture.shape
    x = (uv[..., 0] * width - 0.5).astype(np.float32)
    y = ((1 - uv[..., 1]) * height - 0.5).astype(np.float32)
    return cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float64)


def _brows(points: np.ndarray, topology: Topology) -> np.ndarray:
    """Return how much each point lies in a brow: a tapering band along an arch above the eye."""
    eye = topology.template[topology.part == EYE_LEFT]
    eye_height = 0.5 * (eye[:, 1].min() + eye[:, 1].max())
    across = np.abs(points[..., 0])
    rise = PchipInterpolator(BROW_X, BROW_RISE, extrapolate=True)(across)
    half = PchipInterpolator(BROW_X, BROW_HALF_HEIGHT, extrapolate=True)(across)
    above = np.abs(points[..., 1] - eye_height - rise)
    band = np.clip(0.5 + (half - above) / BROW_SOFTNESS, 0, 1)
    ends = np.clip(0.5 + np.minimum(across - BROW_X[0], BROW_X[-1] - across) / BROW_SOFTNESS, 0, 1)
    return band * ends * (points[..., 2] > 0)


def _hair(points: np.ndarray) -> np.ndarray:
    """Return how much hair may grow at each point: what lies above a line around the head."""
    x, y, z = np.moveaxis(points - FACE_MIDDLE, -1, 0)
    line = PchipInterpolator(HAIR_AZIMUTH, HAIR_ELEVATION)
    azimuth, elevation = np.degrees(np.arctan2(np.abs(x), z)), np.degrees(np.arctan2(y, np.hypot(x, z)))
    steepness = line(azimuth, 1) / np.maximum(np.cos(np.radians(elevation)), 0.2)
    above = np.radians(elevation - line(azimuth)) * np.sqrt(x * x + y * y + z * z) / np.hypot(1, steepness)
    return np.clip(0.5 + above / HAIR_SOFTNESS, 0, 1)


def _lashes(points: np.ndarray, topology: Topology) -> np.ndarray:
    """Return how much each point lies where lashes grow: a thin band along the front of the lids' margin."""
    front, _ = lid_grid(topology, MARGIN_RINGS)
    loop = topology.template[np.append(front[-1], front[-1][0])]
    share = np.linspace(0, 1, 20, endpoint=False)[:, None, None]
    fine = (loop[:-1] * (1 - share) + loop[1:] * share).reshape(-1, 3)
    mirrored = np.concatenate([np.abs(points[..., :1]), points[..., 1:]], -1)
    distance, _ = cKDTree(fine).query(mirrored, distance_upper_bound=LASH_HALF_BREADTH + LASH_SOFTNESS)
    band = np.clip(0.5 + (LASH_HALF_BREADTH - distance) / LASH_SOFTNESS, 0, 1)
    along = (mirrored[..., 0] - loop[:, 0].min()) / np.ptp(loop[:, 0])
    return band * np.clip((along - LASH_START[0]) / (LASH_START[1] - LASH_START[0]), 0, 1)


def _extend(mask: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Carry a mask a few pixels into the empty map: the value of the nearest covered pixel."""
    nearest = np.asarray(ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True))
    distance = np.linalg.norm(nearest - np.indices(mask.shape), axis=0)
    return np.where(distance <= GUTTER, mask[nearest[0], nearest[1]], 0.0)


def _finish(mask: np.ndarray) -> np.ndarray:
    """Average to the final size, make symmetric (the textures are so only nearly), and quantise."""
    small = mask.reshape(SIZE, SUPERSAMPLING, SIZE, SUPERSAMPLING).mean((1, 3))
    return np.round(np.clip(0.5 * (small + small[:, ::-1]), 0, 1) * 255).astype(np.uint8)
