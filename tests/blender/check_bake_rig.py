"""A baked wrinkle rig in Blender is the fitted one, with the add-on and without; and how good it is."""

from __future__ import annotations

from pathlib import Path

import blender_case as case
import bpy
import numpy as np
from bake_case import FEW, FEWER, elsewhere, fitted_to, select, shown_by_live, state
from wrinkle_case import HEAD, real_session, wrinkled_head

from deca_blender import backend
from deca_blender.core import wrinkle_rig
from deca_blender.protocol.messages import WrinklesReply
from deca_blender.scene import bake, wrinkles


class Captured:
    """Keeps the rig that the operator fits."""

    rig: wrinkle_rig.WrinkleRig

    def __enter__(self) -> Captured:
        self._fit = wrinkle_rig.fit

        def fit(*arguments: object) -> wrinkle_rig.WrinkleRig:
            self.rig = self._fit(*arguments)
            return self.rig

        wrinkle_rig.fit = fit
        return self

    def __exit__(self, *_: object) -> None:
        wrinkle_rig.fit = self._fit


def pose(obj: bpy.types.Object, random: np.random.Generator) -> None:
    """Moves sliders of all kinds and the jaw."""
    keys, bone = obj.data.shape_keys.key_blocks, obj.parent.pose.bones["jaw"]
    for index in range(50):
        keys[f"exp_{index:03d}"].value = random.normal(scale=0.5)
    for name in HEAD.arkit_names:
        keys[name].value = random.choice([0.0, random.random()])
    bone.rotation_mode = "XYZ"
    bone.rotation_euler = random.normal(scale=0.3, size=3)


def seen(obj: bpy.types.Object) -> np.ndarray:
    """What F_d sees, as the live update reads it."""
    inputs = wrinkles.wrinkle_inputs(obj, bpy.context.evaluated_depsgraph_get())
    return np.concatenate((inputs.expression_E, inputs.jaw_3))[None]


def test_the_rig_in_blender_is_the_fitted_one() -> None:
    obj = wrinkled_head()
    before = state(obj)
    select(obj)
    with fitted_to(*FEW), Captured() as captured:
        assert bpy.ops.deca.bake_wrinkle_rig() == {"FINISHED"}
    rig, noted = captured.rig, obj.deca_bake
    assert noted.kind == "RIG" and noted.num_maps == 16 and 0.2 < noted.within < 1 and noted.worst > 0.15
    print(f"random weights: {noted.within:.3f} within 0.15 mm, p95 {noted.percentile_95:.3f} mm, {noted.worst:.2f} mm")
    curves = [curve.driver for curve in obj.animation_data.drivers]
    assert all(driver.is_valid and (driver.type == "SUM" or driver.is_simple_expression) for driver in curves)
    random = np.random.default_rng(5)
    for strength in (1.0, 0.0, 2.5):
        pose(obj, random)
        obj.deca.wrinkle_strength = strength
        moved = case.evaluated_verts(obj)
        expected_map = rig.displacement(seen(obj))[0]
        error = np.abs(moved - shown_by_live(obj, expected_map)).max()
        assert error < 1e-5 and np.abs(expected_map - rig.neutral_HW).max() > 1e-3, error
    obj.deca.wrinkle_strength = 1.0
    bpy.ops.deca.clear_baked_wrinkles()
    obj.deca_bake.property_unset("kind")
    assert state(obj) == before and "wrinkle_rig" not in obj


def test_a_bake_that_is_given_up_leaves_nothing() -> None:
    obj = wrinkled_head()
    before = state(obj)
    steps = bake.bake_rig(obj, 16, real_session())
    for _ in range(20):
        next(steps)
    assert not obj.deca.wrinkles_live
    steps.close()
    assert state(obj) == before


def test_a_duplicate_has_a_rig_of_its_own() -> None:
    obj = wrinkled_head()
    select(obj)
    with fitted_to(*FEW), Captured() as captured:
        bpy.ops.deca.bake_wrinkle_rig(num_maps=3)
    select(obj, obj.parent)
    bpy.ops.object.duplicate()
    (copy,) = [other for other in bpy.context.selected_objects if other.type == "MESH"]
    random = np.random.default_rng(6)
    for head in (obj, copy):
        pose(head, random)
    for head in (obj, copy):
        moved = case.evaluated_verts(head)
        expected = shown_by_live(head, captured.rig.displacement(seen(head))[0])
        assert np.abs(moved - expected).max() < 1e-5
    select(copy)
    bpy.ops.deca.clear_baked_wrinkles()
    moved = case.evaluated_verts(obj)
    assert np.abs(moved - shown_by_live(obj, captured.rig.displacement(seen(obj))[0])).max() < 1e-5


class Folding:
    """A stand-in for a trained F_d: static wrinkles, and in each region folds that deepen as the skin is compressed.

    Compression is measured on the head itself: how much shorter the region's edges across the folds have become, by
    expression and jaw. Folds saturate at `depth`, most of which is there at 5 %; stretched skin is a little smoother
    than at rest.
    """

    def __init__(self, seed: int = 0, regions: int = 24, depth: float = 1.5e-3) -> None:
        random = np.random.default_rng(seed)
        uv = np.zeros((len(HEAD.verts), 2))
        faces = case.triangles_of(HEAD.polygons)
        uv[faces] = HEAD.uv[case.triangles_of(HEAD.uv_polygons)]
        edges = np.unique(np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)
        middle, along = uv[edges].mean(axis=1), np.diff(uv[edges], axis=1)[:, 0]
        is_skin = (HEAD.part[edges] == 0).all(axis=1) & (np.linalg.norm(along, axis=1) < 0.05)
        self.edges, middle, along = edges[is_skin], middle[is_skin], along[is_skin]
        y, x = 1 - (np.mgrid[0:256, 0:256][0] + 0.5) / 256, (np.mgrid[0:256, 0:256][1] + 0.5) / 256
        mask = np.clip(4 - 10 * np.hypot(x - 0.5, y - 0.5), 0, 1)
        self.static = 4e-4 * np.sin(60 * x + 9 * np.sin(5 * y)) * mask
        self.folds, self.shares = np.zeros((regions, 256, 256)), np.zeros((regions, len(self.edges)))
        for fold, share in zip(self.folds, self.shares, strict=True):
            center, turn = random.uniform(0.25, 0.75, 2), random.uniform(0, np.pi)
            across = np.array([np.cos(turn), np.sin(turn)])
            near = np.exp(-((middle - center) ** 2).sum(axis=1) / 0.006) * (along @ across) ** 2
            share[:] = near / near.sum()
            fold[:] = depth * mask * np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / 0.006)
            fold *= np.sin(120 * (across[0] * x + across[1] * y))
        self.rest = np.maximum(self._lengths(np.zeros(53)), 1e-6)

    def _lengths(self, inputs_X: np.ndarray) -> np.ndarray:
        """Of the edges."""
        pose = np.zeros((5, 3))
        pose[2] = inputs_X[50:]
        verts = case.posed_verts(HEAD, np.zeros(40), inputs_X[:50], pose)
        return np.linalg.norm(verts[self.edges[:, 1]] - verts[self.edges[:, 0]], axis=1)

    def __call__(self, inputs_NX: np.ndarray) -> np.ndarray:
        """Displacement (N, 256, 256)."""
        lengths = np.array([self._lengths(row) for row in inputs_NX.astype(float)]) / self.rest
        compression = (1 - lengths) @ self.shares.T
        gain = np.where(compression > 0, np.tanh(compression / 0.05), 0.25 * np.tanh(compression / 0.05))
        return (self.static + np.tensordot(gain, self.folds, axes=1)).astype(np.float32)


class Synthetic:
    """A session that answers with `Folding`."""

    decode = None

    def submit(self, request: object) -> case.FakeJob:
        if type(request).__name__ == "DescribeHead":
            return case.FakeJob(HEAD)
        inputs = np.concatenate((request.expression[:50], request.jaw))[None]
        Synthetic.decode = Synthetic.decode or Folding()
        return case.FakeJob(WrinklesReply(Synthetic.decode(inputs)[0]))


def test_a_rig_of_the_built_in_weights_is_within_tolerance() -> None:
    """What trained weights draw is smooth enough for 16 maps; here of somebody with deep wrinkles."""
    detail_D = np.zeros(128, np.float32)
    detail_D[0] = 1.5
    obj = wrinkled_head(weights=str(case.ROOT / "assets/weights/openhead.safetensors"), detail=detail_D)
    select(obj)
    with fitted_to(*FEWER):
        assert bpy.ops.deca.bake_wrinkle_rig() == {"FINISHED"}
    noted = obj.deca_bake
    print(f"built-in weights: {noted.within:.4f} within 0.15 mm, worst {noted.worst:.2f} mm")
    assert noted.within > 0.99


def test_wrinkles_that_fold_under_compression_are_within_tolerance() -> None:
    obj = wrinkled_head()
    select(obj)
    backend.session = Synthetic  # type: ignore[assignment]
    try:
        with Captured() as captured:
            assert bpy.ops.deca.bake_wrinkle_rig() == {"FINISHED"}
    finally:
        backend.session = real_session  # type: ignore[assignment]
    inputs = wrinkle_rig.sample_inputs(np.random.default_rng(99), 250, HEAD.arkit_map)
    near, near_at_rest, total = 0, 0, 0
    for chunk in np.split(inputs, 5):
        maps = Synthetic.decode(chunk)
        mask = np.any(maps != 0, axis=0)
        distances = np.abs(captured.rig.displacement(chunk) - maps)[:, mask]
        near, total = near + int((distances <= 0.15e-3).sum()), total + distances.size
        near_at_rest += int((np.abs(captured.rig.neutral_HW - maps)[:, mask] <= 0.15e-3).sum())
    print(f"synthetic: {near / total:.4f} within 0.15 mm over 250 expressions; said {obj.deca_bake.within:.4f};")
    print(f"  without a rig, always the neutral map: {near_at_rest / total:.4f}")
    assert near_at_rest / total < 0.9  # it is no feat if nothing moves
    assert abs(near / total - obj.deca_bake.within) < 0.02
    assert near / total > 0.95


def test_a_baked_rig_lives_on_in_a_blender_without_the_add_on(folder: Path) -> None:
    obj = wrinkled_head()
    select(obj)
    with fitted_to(*FEW), Captured() as captured:
        bpy.ops.deca.bake_wrinkle_rig(num_maps=6)
    obj.deca.wrinkle_strength = 0.5
    obj.modifiers["Wrinkle Subdivision"].render_levels = 1
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "rig.blend"))
    elsewhere(folder / "rig.blend", folder / "out", obj.name, "sliders", "exp_004=-1.5,mouthSmileLeft=0.8,jawOpen=0.5")
    shown = np.load(folder / "out.npz")
    keys = obj.data.shape_keys.key_blocks
    keys["exp_004"].value, keys["mouthSmileLeft"].value, keys["jawOpen"].value = -1.5, 0.8, 0.5
    obj.deca.wrinkle_strength = 2.0  # without_addon.py turns it up
    expected = shown_by_live(obj, captured.rig.displacement(seen(obj))[0])
    for way in ("viewport_0", "render_0"):
        error = np.abs(shown[way] - expected).max()
        assert error < 1e-5, (way, error)


case.main(globals())
