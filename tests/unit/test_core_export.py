"""Morphs, their weights and keyframes, visemes, and what an export may be asked for. No Blender."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from deca_blender.core import arkit, rig
from deca_blender.core.export import FORMATS, ExportError, ExportOptions, file_of, morphs_of, sidecar
from deca_blender.core.morphs import MorphFit, key_frames, sum_error, without_stillness
from deca_blender.core.visemes import VISEMES
from deca_blender.protocol import export_arguments


def test_morph_names_and_ranges() -> None:
    own = {"mole": (0.0, 2.0)}
    morphs = morphs_of(arkit.NAMES, own, ExportOptions(use_visemes=True, use_coefficients=True))
    names = [morph.name for morph in morphs]
    assert names == [*arkit.NAMES, *rig.EXPRESSION_KEYS, *VISEMES, "mole"] and len(names) == 52 + 50 + 15 + 1
    assert {(morph.low, morph.high) for morph in morphs[:52]} == {(0, 1)}
    assert (morphs[-1].low, morphs[-1].high) == (0, 2)
    assert [morph.name for morph in morphs_of(arkit.NAMES, {}, ExportOptions())] == list(arkit.NAMES)
    without_arkit = morphs_of((), {}, ExportOptions(use_visemes=True))
    assert [morph.name for morph in without_arkit] == list(rig.EXPRESSION_KEYS)


def test_visemes_are_made_of_arkit_shapes() -> None:
    """Names as in Meta's viseme reference; lips are shut for PP, the jaw opens most for aa, silence is neutral."""
    sounds = "sil PP FF TH DD kk CH SS nn RR aa E I O U".split()
    assert list(VISEMES) == [f"viseme_{sound}" for sound in sounds]
    for weights in VISEMES.values():
        assert set(weights) <= set(arkit.NAMES) and all(0 < weight <= 1 for weight in weights.values())
    jaw = {name: weights.get("jawOpen", 0.0) for name, weights in VISEMES.items()}
    assert max(jaw, key=lambda name: jaw[name]) == "viseme_aa" and jaw["viseme_PP"] == 0 and not VISEMES["viseme_sil"]


def test_formats_refuse_what_they_cannot() -> None:
    for format in ("glb", "abc"):
        with pytest.raises(ExportError, match="y up"):
            ExportOptions(format=format, up="Z")
    with pytest.raises(ExportError, match="no format"):
        ExportOptions(format="stl")
    with pytest.raises(ExportError, match="scale"):
        ExportOptions(scale=0)
    assert (
        ExportOptions(format="usd").suffix == ".usdz"
        and ExportOptions(format="usd", textures="BESIDE").suffix == ".usdc"
    )
    assert not ExportOptions(format="obj").is_embedded
    assert ExportOptions(use_eyes=False, use_tongue=False).removed_parts == (1, 2, 5)


def test_the_suffix_is_the_formats() -> None:
    options = ExportOptions(format="fbx")
    for given in ("a.v2", "a.v2.fbx", "a.v2.glb", "a.v2.USDZ"):
        assert file_of(Path(given), options) == Path("a.v2.fbx")


def test_the_arguments_know_the_formats() -> None:
    assert export_arguments.FORMATS == tuple(FORMATS)
    parser = argparse.ArgumentParser(parents=[export_arguments.export_arguments()])
    asked = parser.parse_args("a.blend --out o --format OBJ,fbx,obj --without eyes".split())
    assert asked.format == ["obj", "fbx"] and asked.without == ["eyes"] and asked.out == Path("o").absolute()
    for wrong in ("a.blend", "a.blend --out o --format stl", "a.blend --out o --without hair", "a.blend --out  "):
        with pytest.raises(SystemExit):
            parser.parse_args(wrong.split(" "))


def test_weights_of_a_sum_are_found_within_their_bounds() -> None:
    random = np.random.default_rng(0)
    offsets_MV3 = random.normal(size=(6, 40, 3))
    fit = MorphFit(offsets_MV3)
    wanted_M = np.array([0.2, 0, 1, 0.7, 0, 0.05])
    found_M = fit.weights(np.tensordot(wanted_M, offsets_MV3, axes=1), np.zeros(6), np.ones(6))
    assert np.abs(found_M - wanted_M).max() < 1e-3
    beyond_V3 = 3 * offsets_MV3[1] - 2 * offsets_MV3[4]
    bounded_M = fit.weights(beyond_V3, np.zeros(6), np.ones(6))
    assert bounded_M[1] == 1 and bounded_M[4] == 0
    # No corner of the box around it is nearer: it is the minimum of a convex function.
    best = np.linalg.norm(np.tensordot(bounded_M, offsets_MV3, axes=1) - beyond_V3)
    for step_M in random.normal(scale=0.01, size=(50, 6)):
        near_M = np.clip(bounded_M + step_M, 0, 1)
        assert np.linalg.norm(np.tensordot(near_M, offsets_MV3, axes=1) - beyond_V3) > best - 1e-3


def test_two_morphs_of_the_same_share() -> None:
    offsets_MV3 = np.ones((2, 3, 3))
    assert np.abs(MorphFit(offsets_MV3).weights(offsets_MV3[0], np.zeros(2), np.ones(2)).sum() - 1) < 1e-3


def test_keyframes_follow_the_values() -> None:
    random = np.random.default_rng(1)
    assert key_frames(np.full(9, 0.3)) == [0]
    assert key_frames(np.array([0, 0.5, 1, 1, 1])) == [0, 2, 4]
    assert key_frames(np.array([0.0])) == [0]
    values_N = np.cumsum(random.normal(scale=0.05, size=200))
    values_N[50:90] = values_N[50]
    kept = key_frames(values_N, 0.01)
    assert np.abs(np.interp(np.arange(200), kept, values_N[kept]) - values_N).max() <= 0.01 + 1e-12
    assert not set(range(51, 89)) & set(kept) and len(kept) < 200


def test_error_of_a_sum() -> None:
    neutral_V3, offsets_MV3 = np.zeros((2, 3)), np.array([[[3.0, 0, 0], [0, 0, 0]], [[0, 4.0, 0], [0, 0, 0]]])
    assert sum_error(neutral_V3, offsets_MV3, np.ones(2), np.zeros((2, 3))) == pytest.approx((5, 5 / np.sqrt(2)))
    still = without_stillness(np.array([[1e-7, 0, 0], [1e-7, 1e-3, 0]]))
    assert still.tolist() == [[0, 0, 0], [1e-7, 1e-3, 0]]


def test_the_sidecar_tells_what_files_lose() -> None:
    options = ExportOptions(use_visemes=True, scale=100)
    morphs = morphs_of(arkit.NAMES, {}, options)
    told = sidecar("Zoë", morphs, {"jawOpen": 0.25}, options, skeleton=["root"])
    by_name = {morph["name"]: morph for morph in told["morphs"]}  # type: ignore[attr-defined]
    assert by_name["jawOpen"] == {"name": "jawOpen", "kind": "arkit", "range": [0, 1], "weight": 0.25}
    assert by_name["viseme_O"]["sliders"] == VISEMES["viseme_O"]
    assert told["units_per_metre"] == 100 and told["skeleton"] == ["root"]
