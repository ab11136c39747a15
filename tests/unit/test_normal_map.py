"""Normal maps of displaced heads: the slope of a known bump, and the file."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from deca.errors import OptionError
from deca.head import load_head
from deca.reconstruct.maps import normal_map, normal_png
from deca.render.uv import uv_raster
from deca.service.device import Device
from deca.service.handlers import make_handlers
from deca_blender.protocol.messages import BakeNormalMap

SIZE = 512
HEAD = load_head()


def waves(size: int) -> np.ndarray:
    """A displacement of 2 mm waves, and none near the border."""
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size
    return (2e-3 * np.sin(60 * x) * np.cos(45 * y) * np.exp(-40 * ((x - 0.5) ** 2 + (y - 0.5) ** 2))).astype(np.float32)


def expected(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Normals by the chain rule on flat triangles, from the analytic slope; and where they hold.

    On a triangle the surface moves by P_u, P_v per unit of u and v. A displacement d along its normal n gives the
    normal n - (P_u-dual) d_u - (P_v-dual) d_v, written in the frame of the tangent P_u, its perpendicular and n.
    """
    raster = uv_raster(HEAD, size, "cpu")  # type: ignore[arg-type]
    covered = raster.covered_HW.numpy()
    triangle = np.full((size, size), -1)
    uv = HEAD.uv_T2[HEAD.uv_faces_F3].astype(float)
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size
    u, v = x, 1 - y
    for index, (a, b, c) in enumerate(uv):
        low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
        columns = slice(max(int(low[0] * size) - 1, 0), int(high[0] * size) + 2)
        rows = slice(max(int((1 - high[1]) * size) - 1, 0), int((1 - low[1]) * size) + 2)
        points = np.stack([u[rows, columns], v[rows, columns]], -1) - a
        basis = np.stack([b - a, c - a], 1)
        if abs(np.linalg.det(basis)) < 1e-12:
            continue
        weights = points @ np.linalg.inv(basis).T
        inside = (weights > 0).all(-1) & (weights.sum(-1) < 1)
        triangle[rows, columns][inside] = index
    found = (triangle >= 0) & covered
    corners = HEAD.template_V3[HEAD.faces_F3].astype(float)
    edges = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], 2)  # F, 3, 2
    uv_edges = np.stack([uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]], 2)
    good = np.abs(np.linalg.det(uv_edges)) > 1e-12
    jacobian = np.zeros_like(edges)
    jacobian[good] = edges[good] @ np.linalg.inv(uv_edges[good])  # columns P_u, P_v
    bump = waves(4 * size).astype(float)
    d_v, d_u = np.gradient(bump, 1 / (4 * size))
    at = 4 * np.arange(size) + 2
    slope_u, slope_v = d_u[np.ix_(at, at)], -d_v[np.ix_(at, at)]
    p_u, p_v = (jacobian[triangle][..., k] for k in (0, 1))
    tangent = p_u / np.maximum(np.linalg.norm(p_u, axis=-1, keepdims=True), 1e-12)
    across = p_v - (p_v * tangent).sum(-1, keepdims=True) * tangent
    height = np.maximum(np.linalg.norm(across, axis=-1), 1e-12)
    along_u = slope_u / np.maximum(np.linalg.norm(p_u, axis=-1), 1e-12)
    along_v = (slope_v - (p_v * tangent).sum(-1) * along_u) / height
    normals = np.stack([-along_u, -along_v, np.ones_like(along_u)], -1)
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True), found


def test_waves_tilt_the_normals_as_the_chain_rule_says() -> None:
    got = normal_map(HEAD.template_V3, waves(256), HEAD, SIZE)
    want, where = expected(SIZE)
    near = where & (np.hypot(*((np.mgrid[0:SIZE, 0:SIZE] + 0.5) / SIZE - 0.5)) < 0.2)
    tilt = np.degrees(np.arccos(np.clip(want[near][:, 2], -1, 1)))
    error = np.degrees(np.arccos(np.clip((got[near] * want[near]).sum(-1), -1, 1)))
    print("tilt", np.percentile(tilt, [50, 95]), "error", np.percentile(error, [50, 95]))
    assert np.percentile(tilt, 95) > 10
    assert np.percentile(error, 50) < 0.5 and np.percentile(error, 95) < 2.5
    assert np.allclose(np.linalg.norm(got, axis=-1), 1, atol=1e-5)


def test_without_displacement_the_map_is_flat() -> None:
    got = normal_map(HEAD.template_V3, np.zeros((256, 256), np.float32), HEAD, 128)
    assert np.abs(got - [0, 0, 1]).max() < 1e-3


@pytest.mark.parametrize(("bits", "kind"), [(8, np.uint8), (16, np.uint16)])
def test_the_backend_sends_a_png(bits: int, kind: type) -> None:
    handle = make_handlers(Device("cpu"))[BakeNormalMap]
    request = BakeNormalMap(HEAD.template_V3, waves(256), size=128, bits=bits)
    pictures = []
    for green_up in (True, False):
        flipped = BakeNormalMap(HEAD.template_V3, waves(256), size=128, bits=bits, green_up=green_up)
        png = handle(flipped, lambda fraction, text: None).png  # type: ignore[attr-defined]
        pictures.append(cv2.imdecode(png, cv2.IMREAD_UNCHANGED)[..., ::-1])
    largest = 2**bits - 1
    assert pictures[0].dtype == kind and pictures[0].shape == (128, 128, 3)
    want = normal_map(HEAD.template_V3, waves(256), HEAD, 128) * 0.5 + 0.5
    assert np.abs(pictures[0] / largest - want).max() <= 0.51 / largest
    assert np.array_equal(pictures[0][..., [0, 2]], pictures[1][..., [0, 2]])
    assert np.abs(pictures[0][..., 1].astype(int) + pictures[1][..., 1] - largest).max() <= 1
    with pytest.raises(OptionError, match="vertices"):
        handle(BakeNormalMap(HEAD.template_V3[:-1], request.displacement), lambda fraction, text: None)
    with pytest.raises(OptionError, match="bits"):
        handle(BakeNormalMap(HEAD.template_V3, request.displacement, bits=12), lambda fraction, text: None)


def test_a_scaled_head_and_one_in_the_mirror_have_the_same_map() -> None:
    expected_HW3 = normal_map(HEAD.template_V3, waves(256), HEAD, 256)
    for factor, flip in ((10, (1, 1, 1)), (1, (-1, 1, 1)), (2, (-1, -1, -1)), (1, (-1, -1, 1))):
        verts_V3 = (factor * HEAD.template_V3 * np.array(flip)).astype(np.float32)
        got_HW3 = normal_map(verts_V3, np.float32(factor) * waves(256), HEAD, 256)
        assert np.quantile(np.abs(got_HW3 - expected_HW3), 0.999) < 1e-3, (factor, flip)


def test_more_bits_only_refine() -> None:
    normals = normal_map(HEAD.template_V3, waves(256), HEAD, 64)
    eight, sixteen = (
        cv2.imdecode(np.frombuffer(normal_png(normals, bits), np.uint8), cv2.IMREAD_UNCHANGED) for bits in (8, 16)
    )
    assert np.abs(eight / 255 - sixteen / 65535).max() < 1 / 255
