"""The likeness of several photos: a shape key that is on, can be turned off, is exported, and changes with photos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import blender_case as case
import bpy
import numpy as np
from numpy.typing import NDArray

from deca_blender.core import rig
from deca_blender.core.export import ExportOptions
from deca_blender.scene.export_head import export_head
from deca_blender.scene.import_face import ImportOptions, import_face
from deca_blender.scene.reshape import change_likeness, reshape

HEAD = case.head_reply()
LIKENESS = (0.002 * np.sin(60 * HEAD.verts[:, [1, 2, 0]])).astype(np.float32)
REST = {"expression": np.zeros(50, np.float32), "pose": np.zeros((5, 3), np.float32)}
FACE = case.face_reply(HEAD, 1, likeness=LIKENESS, **REST)


def new_head(**changes: object) -> bpy.types.Object:
    return import_face(bpy.context, HEAD, replace(FACE, **changes), ImportOptions(use_camera=False))


def coefficients_alone(shape: NDArray = FACE.shape, expression: NDArray = REST["expression"]) -> NDArray:
    return case.posed_verts(HEAD, shape, expression, REST["pose"])


def test_the_key_is_on_and_off_it_is_the_head_of_the_coefficients() -> None:
    head = new_head()
    key = head.data.shape_keys.key_blocks[rig.LIKENESS_KEY]
    assert key.value == 1 and np.abs(case.evaluated_verts(head) - coefficients_alone() - LIKENESS).max() < 1e-6
    key.value = 0
    assert np.abs(case.evaluated_verts(head) - coefficients_alone()).max() < 1e-6
    assert rig.LIKENESS_KEY not in new_head(likeness=None).data.shape_keys.key_blocks


def test_sliders_add_to_it() -> None:
    head = new_head()
    keys = head.data.shape_keys.key_blocks
    keys["exp_003"].value = 1.5
    expression = np.zeros(50, np.float32)
    expression[3] = 1.5
    assert np.abs(case.evaluated_verts(head) - coefficients_alone(expression=expression) - LIKENESS).max() < 1e-6


def test_more_photos_change_it_and_leave_it_off_where_it_is_off() -> None:
    head = new_head()
    key = head.data.shape_keys.key_blocks[rig.LIKENESS_KEY]
    key.value = 0.25
    shape = FACE.shape + np.float32(0.3)
    reshape(bpy.context, head, HEAD, FACE.shape.astype(np.float64), shape)
    change_likeness(head, -LIKENESS)
    assert key.value == 0.25
    assert np.abs(case.evaluated_verts(head) - coefficients_alone(shape) + 0.25 * LIKENESS).max() < 1e-6
    change_likeness(head, None)
    assert np.abs(case.evaluated_verts(head) - coefficients_alone(shape)).max() < 1e-6
    plain = new_head(likeness=None)
    change_likeness(plain, LIKENESS)
    assert np.abs(case.evaluated_verts(plain) - coefficients_alone() - LIKENESS).max() < 1e-6


def test_exports_have_it_in_the_neutral_face(folder: Path) -> None:
    head = new_head()
    head.data.shape_keys.key_blocks[rig.LIKENESS_KEY].value = 0.5
    done = export_head(bpy.context, head, folder / "head", ExportOptions(format="obj"))
    rows = [line.split()[1:4] for line in done.files[0].read_text().splitlines() if line.startswith("v ")]
    written, expected = np.array(rows, np.float64), coefficients_alone() + 0.5 * LIKENESS
    size, wanted = (np.linalg.norm(verts - verts.mean(0), axis=1) for verts in (written, expected))
    assert np.abs(size - wanted).max() < 2e-5


case.main(globals())
