"""The drivers of a baked wrinkle rig as Blender evaluates them."""

from __future__ import annotations

import blender_case as case
import bpy
import numpy as np

from deca_blender.core import wrinkle_rig
from deca_blender.scene.shape_keys import add_driver

NUM_INPUTS, NUM_MAPS = 53, 3


def test_blender_computes_the_weights_without_python() -> None:
    random = np.random.default_rng(0)
    slopes = random.normal(size=(2, NUM_INPUTS, NUM_MAPS)) * 10.0 ** random.uniform(-6, 1, (2, NUM_INPUTS, NUM_MAPS))
    empty = np.zeros((8, 8), np.float32)
    rig = wrinkle_rig.WrinkleRig(empty, np.zeros((NUM_MAPS, 8, 8), np.float32), *slopes.astype(np.float32))
    obj = bpy.data.objects.new("Head", None)
    bpy.context.scene.collection.objects.link(obj)
    names = [f"input_{index:02d}" for index in range(NUM_INPUTS)]
    drivers = wrinkle_rig.weight_drivers(rig, [f'["{name}"]' for name in names])
    for name in (*names, *(driver.name for driver in drivers)):
        obj[name] = 0.0
    for driver in drivers:
        add_driver(obj, f'["{driver.name}"]', -1, driver.spec, obj)
    curves = obj.animation_data.drivers
    assert len(curves) == len(drivers) and all(curve.driver.is_simple_expression for curve in curves)
    for _ in range(5):
        sample = random.normal(size=NUM_INPUTS)
        for name, value in zip(names, sample.tolist(), strict=True):
            obj[name] = value
        obj.update_tag()
        bpy.context.view_layer.update()
        expected = rig.weights(sample[None])[0]
        got = [obj.evaluated_get(bpy.context.evaluated_depsgraph_get())[f"wrinkle_{k:02d}"] for k in range(NUM_MAPS)]
        assert np.allclose(got, expected, rtol=1e-3, atol=1e-3) and np.abs(expected).max() > 1
        assert all(curve.driver.is_valid for curve in curves)


case.main(globals())
