"""Portraits of a head: renders with procedural skin, brows, eyes, hair and light that a landmark network accepts.

They serve to place landmarks on the head (`landmarks.py`) and to measure the landmark network's error against known
geometry. They are not meant to be beautiful.

Shape suffixes: V vertices, F triangles, N seen pixels, H W picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deca.head import HeadModel, Part
from deca.head.layer import HeadLayer
from deca.render.rasterizer import rasterize

IRIS_RADIUS = 5.85e-3  # metres on an eyeball of 12 mm radius: the human iris is 11.7 mm across
EYE_RADIUS = 12e-3
_PUPIL_RADIUS = 1.9e-3


def _triple(values_3: NDArray) -> tuple[float, float, float]:
    first, second, third = values_3.tolist()
    return first, second, third


@dataclass(frozen=True)
class View:
    """Where the portrait is taken from: in front of the head, looking along -z.

    Attributes:
        distance: From the camera to the head's origin, metres; inf for an orthographic picture. The distance alone
            decides the perspective: 1.0 is a 50 mm lens, 1.8 an 85 mm lens, for a head that half fills the frame.
        span: Height of the picture at the origin's depth, metres.
        centre: Point of head space (x, y) in the middle of the picture, metres.
    """

    distance: float = 1.5
    span: float = 0.36
    centre: tuple[float, float] = (0.0, 0.0)

    def project(self, verts_V3: NDArray) -> NDArray[np.float32]:
        """Picture coordinates (V, 3): x right and y down in [-1, 1], smaller z is nearer."""
        x, y, z = verts_V3.T
        zoom = 2 / self.span / (1 - z / self.distance)
        picture = np.stack(((x - self.centre[0]) * zoom, (self.centre[1] - y) * zoom, -z * 2 / self.span), axis=1)
        return picture.astype(np.float32)


@dataclass(frozen=True)
class Look:
    """Colours (RGB in 0..1) and light of a portrait.

    Attributes:
        skin, lips, hair, iris, backdrop: Base colours.
        hair_cap: Thickness of the hair over the scalp, metres; 0 shaves the head.
        light: Direction towards the light, unit vector in head space.
        ambient: Share of the light that comes from everywhere, 0..1.
        mottle: Strength of the skin's random variation.
        lashes: Strength, 0..1, of the lashes' line along the lids, which is all that closed eyes show; without it the
            lids are dark only where an eyeball shows beside them.
        seed: Of the mottling and the picture noise.
    """

    skin: tuple[float, float, float] = (0.80, 0.62, 0.52)
    lips: tuple[float, float, float] = (0.66, 0.38, 0.36)
    hair: tuple[float, float, float] = (0.20, 0.14, 0.10)
    iris: tuple[float, float, float] = (0.30, 0.22, 0.14)
    backdrop: tuple[float, float, float] = (0.55, 0.55, 0.56)
    hair_cap: float = 0.012
    light: tuple[float, float, float] = (0.25, 0.50, 0.83)
    ambient: float = 0.45
    mottle: float = 0.03
    lashes: float = 0.0
    seed: int = 0

    @classmethod
    def random(cls, seed: int) -> Look:
        """A look drawn from a broad range of skins, eyes, hair, light and backdrops."""
        rng = np.random.default_rng(seed)
        melanin = rng.uniform(0, 1)
        skin = (1 - melanin) * np.array([0.88, 0.70, 0.61]) + melanin * np.array([0.36, 0.23, 0.16])
        lips = skin * rng.uniform(0.72, 0.90) * np.array([1.0, rng.uniform(0.68, 0.85), rng.uniform(0.70, 0.88)])
        hair = np.array([0.10, 0.07, 0.06]) + rng.uniform(0, 1) ** 3 * (1 - melanin) * np.array([0.55, 0.42, 0.26])
        iris = np.array([0.16, 0.09, 0.05]) + rng.uniform(0, 1) * (1 - melanin) * np.array([0.18, 0.30, 0.38])
        light = np.array([rng.normal(0, 0.6), rng.normal(0.4, 0.4), 1.0])
        return cls(
            *(_triple(np.clip(colour, 0, 1)) for colour in (skin, lips, hair, iris, rng.uniform(0.2, 0.9, 3))),
            hair_cap=float(rng.choice([0.0, 0.004, 0.012, 0.02])),
            light=_triple(light / np.linalg.norm(light)),
            ambient=float(rng.uniform(0.35, 0.65)),
            mottle=float(rng.uniform(0.01, 0.05)),
            seed=seed,
        )


@dataclass(frozen=True)
class Portrait:
    """A rendered picture and what is known about it.

    Attributes:
        image_HW3: uint8 RGB.
        pixels_V2: Pixels (x right, y down, centres at +0.5) where the vertices project to, seen or not.
        face_HW: Index of the triangle each pixel sees, -1 for the backdrop.
        bary_HW3: Barycentric weights in that triangle.
    """

    image_HW3: NDArray[np.uint8]
    pixels_V2: NDArray[np.float32]
    face_HW: NDArray[np.int64] = field(repr=False)
    bary_HW3: NDArray[np.float32] = field(repr=False)


def render_portrait(
    head: HeadModel,
    shape: NDArray | None = None,
    expression: NDArray | None = None,
    pose: NDArray | None = None,
    *,
    view: View | None = None,
    look: Look | None = None,
    seed: int = 0,
    size: int = 512,
) -> Portrait:
    """Renders a head from its coefficients.

    Args:
        head: The head model.
        shape: Leading shape coefficients; the mean head when None.
        expression: Leading expression coefficients; neutral when None.
        pose: (5, 3) axis-angle of root, neck, jaw, left eye, right eye.
        view: The camera; by default 1.5 m in front of the face.
        look: Colours and light; drawn from `seed` when None.
        seed: See `look`.
        size: Rows and columns.
    """
    return paint(head, posed_verts(head, shape, expression, pose), view=view, look=look or Look.random(seed), size=size)


def posed_verts(
    head: HeadModel, shape: NDArray | None = None, expression: NDArray | None = None, pose: NDArray | None = None
) -> NDArray[np.float32]:
    """Vertices (V, 3) of a head from its coefficients; see `render_portrait`."""
    shape = np.zeros(1) if shape is None else np.asarray(shape)
    expression = np.zeros(1) if expression is None else np.asarray(expression)
    pose = np.zeros((5, 3)) if pose is None else np.asarray(pose)
    layer = HeadLayer(head, len(shape), len(expression))
    with torch.no_grad():
        verts_BV3 = layer(*(torch.as_tensor(a, dtype=torch.float32)[None] for a in (shape, expression, pose)))
    return verts_BV3[0].numpy()


def paint(
    head: HeadModel, verts_V3: NDArray, *, view: View | None = None, look: Look | None = None, size: int = 512
) -> Portrait:
    """Renders any vertices of a head model's topology; see `render_portrait`."""
    view, look = view or View(), look or Look()
    normals_V3 = vertex_normals(verts_V3, head.faces_F3)
    worn_V3 = verts_V3 + normals_V3 * (_scalp(head) * look.hair_cap)[:, None]
    fine = 2 * size
    with torch.no_grad():
        faces = torch.from_numpy(head.faces_F3)
        fragments = rasterize(torch.from_numpy(view.project(worn_V3))[None], faces, fine, fine)
    seen = (fragments.face_BHW, fragments.bary_BHW3, fragments.depth_BHW)
    face_HW, bary_HW3, depth_HW = (image[0].numpy() for image in seen)
    seen_HW = face_HW >= 0
    face_N, bary_N3 = face_HW[seen_HW], bary_HW3[seen_HW]

    def at_pixels(values_V: NDArray) -> NDArray:
        return np.einsum("nkc,nk->nc", values_V[head.faces_F3[face_N]], bary_N3)

    normal_N3 = at_pixels(vertex_normals(worn_V3, head.faces_F3))
    normal_N3 /= np.linalg.norm(normal_N3, axis=1, keepdims=True) + 1e-9
    uv_N2 = np.einsum("nkc,nk->nc", head.uv_T2[head.uv_faces_F3[face_N]], bary_N3)
    albedo_N3 = _albedo(head, look, face_N, uv_N2, at_pixels(head.template_V3))
    shade_N = _shading(normal_N3, look) * _occlusion(depth_HW, seen_HW, fine / 2)[seen_HW]
    pixel = view.span / fine
    shade_N *= _lashes(head, face_HW, pixel)[seen_HW]
    image_HW3 = np.empty((fine, fine, 3), np.float32)
    image_HW3[:] = look.backdrop
    image_HW3[seen_HW] = albedo_N3 * shade_N[:, None]
    image_HW3 = cv2.resize(image_HW3, (size, size), interpolation=cv2.INTER_AREA)
    image_HW3 += np.random.default_rng(look.seed).normal(0, 0.008, image_HW3.shape)
    return Portrait(
        image_HW3=(np.clip(image_HW3, 0, 1) * 255 + 0.5).astype(np.uint8),
        pixels_V2=(view.project(verts_V3)[:, :2] * 0.5 + 0.5) * size,
        face_HW=face_HW[1::2, 1::2],
        bary_HW3=bary_HW3[1::2, 1::2],
    )


def vertex_normals(verts_V3: NDArray, faces_F3: NDArray) -> NDArray:
    """Area-weighted vertex normals (V, 3) of unit length."""
    corners = verts_V3[faces_F3]
    normal_F3 = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal_V3 = np.zeros_like(verts_V3)
    for corner in range(3):
        np.add.at(normal_V3, faces_F3[:, corner], normal_F3)
    return normal_V3 / (np.linalg.norm(normal_V3, axis=1, keepdims=True) + 1e-12)


def eye_centre(head: HeadModel, part: Part, verts_V3: NDArray | None = None) -> NDArray:
    """Centre (3,) of an eyeball: the middle of its bounding box (a sphere whose pole looks forward)."""
    ball = (head.template_V3 if verts_V3 is None else verts_V3)[head.parts_V == part]
    return (ball.min(0) + ball.max(0)) / 2


def _albedo(head: HeadModel, look: Look, face_N: NDArray, uv_N2: NDArray, rest_N3: NDArray) -> NDArray:
    """Colour of every seen point, from the UV masks on the skin and from the parts elsewhere."""
    part_N = head.parts_V[head.faces_F3[face_N]].min(1)
    mask = {
        name: sample_uv(head.masks.get(name), uv_N2)[:, None]
        for name in ("lips", "brows", "eyelids", "lashes", "scalp")
    }
    noise = cv2.resize(
        np.random.default_rng(look.seed).normal(0, 1, (64, 64)), (512, 512), interpolation=cv2.INTER_CUBIC
    )
    skin = np.array(look.skin) * (1 + look.mottle * sample_uv(noise, uv_N2)[:, None])
    colour = skin * (1 - 0.12 * mask["eyelids"])
    colour = colour + (np.array(look.lips) - colour) * 0.9 * mask["lips"]
    colour = colour + (np.array(look.hair) - colour) * 0.85 * mask["brows"]
    colour = colour + (np.array(look.hair) - colour) * mask["scalp"]
    colour = colour * (1 - look.lashes * mask["lashes"])
    for part in (Part.EYE_L, Part.EYE_R):
        eye = part_N == part
        if eye.any():
            colour[eye] = _eye_colour(head, part, rest_N3[eye], look)
    colour[(part_N == Part.TEETH_UPPER) | (part_N == Part.TEETH_LOWER)] = (0.86, 0.83, 0.76)
    colour[part_N == Part.TONGUE] = (0.62, 0.32, 0.32)
    colour[part_N == Part.INNER_MOUTH] = (0.25, 0.08, 0.08)
    return colour


def _eye_colour(head: HeadModel, part: Part, rest_N3: NDArray, look: Look) -> NDArray:
    """Sclera, iris with a dark limbus, pupil, by the distance from the eyeball's axis in the rest pose."""
    centre = eye_centre(head, part)
    size = np.ptp(head.template_V3[head.parts_V == part][:, 0]) / 2 / EYE_RADIUS
    radius = np.hypot(*(rest_N3 - centre).T[:2]) / size
    radius[rest_N3[:, 2] < centre[2]] = 1.0
    colour = np.full((len(rest_N3), 3), (0.90, 0.88, 0.86))
    colour[radius < IRIS_RADIUS] = look.iris
    colour[np.abs(radius - IRIS_RADIUS) < 0.4e-3] *= 0.6
    colour[radius < _PUPIL_RADIUS] = 0.03
    return colour


def _shading(normal_N3: NDArray, look: Look) -> NDArray:
    """Lambert's cosine to the second spherical-harmonics order (Ramamoorthi and Hanrahan 2001), plus ambient."""
    cosine = normal_N3 @ np.array(look.light)
    lambert = 0.25 + 0.5 * cosine + 0.15625 * (3 * cosine**2 - 1)
    return look.ambient + (1.15 - look.ambient) * np.clip(lambert, 0, None)


def _occlusion(depth_HW: NDArray, seen_HW: NDArray, pixels_per_unit: float) -> NDArray:
    """Darkens what lies deeper than its surroundings (nostrils, lip line, eye sockets): 1 is open, 0.25 is buried."""
    weight = seen_HW.astype(np.float32)
    light = np.ones_like(weight)
    for radius in (0.012, 0.04):  # picture half-widths
        blur = radius * pixels_per_unit
        mean = cv2.GaussianBlur(depth_HW * weight, (0, 0), blur) / (cv2.GaussianBlur(weight, (0, 0), blur) + 1e-6)
        light *= 1 - np.clip((depth_HW - mean) / (3 * radius), 0, 0.5)
    return light


def _lashes(head: HeadModel, face_HW: NDArray, pixel: float) -> NDArray:
    """Factor that darkens the skin within a millimetre of the visible eyeball."""
    parts_F = head.parts_V[head.faces_F3].min(1)
    part_HW = np.where(face_HW >= 0, parts_F[face_HW], 255)
    eye_HW = ((part_HW == Part.EYE_L) | (part_HW == Part.EYE_R)).astype(np.uint8)
    reach = max(round(1.2e-3 / pixel), 1)
    near = cv2.dilate(eye_HW, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    return np.where((near > 0) & (part_HW == Part.SKIN), 0.45, 1.0)


def _scalp(head: HeadModel) -> NDArray:
    """How much each vertex wears hair, 0..1, from the scalp mask."""
    uv_V2 = np.zeros((head.num_verts, 2), np.float32)
    uv_V2[head.faces_F3] = head.uv_T2[head.uv_faces_F3]
    return sample_uv(head.masks.get("scalp"), uv_V2) * (head.parts_V == Part.SKIN)


def sample_uv(mask: NDArray | None, uv_N2: NDArray) -> NDArray:
    """A UV picture at texture coordinates, bilinear; uint8 becomes 0..1; zero where there is no mask."""
    if mask is None or len(uv_N2) == 0:
        return np.zeros(len(uv_N2), np.float32)
    rows, columns = mask.shape
    x = (uv_N2[:, 0] * columns - 0.5).astype(np.float32)
    y = ((1 - uv_N2[:, 1]) * rows - 0.5).astype(np.float32)
    values = mask.astype(np.float32) / (255 if mask.dtype == np.uint8 else 1)
    out = np.empty(len(x), np.float32)
    for start in range(0, len(x), 30000):  # cv2.remap takes pictures below 32768 pixels a side
        part = slice(start, start + 30000)
        out[part] = cv2.remap(values, x[part, None], y[part, None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[
            :, 0
        ]
    return out


def random_head(head: HeadModel, seed: int, *, yaw: float = 25.0, num_shape: int = 50) -> dict[str, NDArray | Look]:
    """Coefficients, pose and look of a random person with a mild expression, for `render_portrait(head, **...)`."""
    rng = np.random.default_rng(seed)
    pose = np.zeros((5, 3))
    pose[0] = np.radians([rng.uniform(-8, 8), rng.uniform(-yaw, yaw), 0])
    pose[2, 0] = np.radians(max(rng.normal(0, 4), 0))
    return {
        "shape": rng.normal(0, 1, num_shape),
        "expression": rng.normal(0, 0.5, 50),
        "pose": pose,
        "look": replace(Look.random(seed)),
    }
