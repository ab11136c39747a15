"""Synthetic wrinkles: compression of the skin, who gets which wrinkles, and what expressions do to them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from deca.head import load_head
from deca.head.layer import HeadLayer
from deca.networks import MAP_SIZE
from deca.render.detail import DETAIL_MASK
from deca.render.uv import texels_of, uv_mask
from deca_training.data.synthetic.curves import Draws, Line, fold, press, trace, valley
from deca_training.data.synthetic.families import FAMILIES, Family, channel_names
from deca_training.data.synthetic.patterns import PATTERNS, _spread_out
from deca_training.data.synthetic.person import ASYMMETRY, Person, drives
from deca_training.data.synthetic.skin import SIZE, skin_of
from deca_training.data.synthetic.strain import gauge_of, green_strain, posed, reader_of, sided

HEAD = load_head()
NAMES = channel_names()
LAYER = HeadLayer(HEAD, 100, 50)
REST = np.zeros(50), np.zeros(3)
BROWS_UP = {"browInnerUp": 1.0, "browOuterUp": 1.0}


@cache
def person(seed: int, age: int, asymmetry: float = ASYMMETRY) -> Person:
    return Person.make(HEAD, seed, age, asymmetry)


def drive(weights: dict[str, float], shape_S: NDArray | None = None) -> NDArray[np.float64]:
    """Drives of an expression."""
    shape_S = np.zeros(100) if shape_S is None else shape_S
    expression_E, turns_33 = reader_of(HEAD).coefficients(weights)
    verts_V3 = posed(LAYER, shape_S, expression_E, turns_33[0])
    return drives(HEAD, expression_E, turns_33[0], posed(LAYER, shape_S, *REST), verts_V3)


def channels(prefix: str) -> list[int]:
    return [i for i, name in enumerate(NAMES) if name.startswith(prefix)]


def depth(who: Person, activation_C: NDArray, prefix: str) -> float:
    """Deepest point of some channels, millimetres."""
    chosen = channels(prefix)
    return -1e3 * float(np.tensordot(activation_C[chosen], who.wrinkles_CHW[chosen], 1).min())


def test_strain_is_that_of_the_deformation_gradient() -> None:
    # Oracle: E = (F^T F - I) / 2 of a known linear map in the triangle's plane, turned in space afterwards.
    rng = np.random.default_rng(0)
    flat_V3 = np.concatenate((rng.uniform(size=(3, 2)), np.zeros((3, 1))), 1)
    turn_33, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    gradient_22 = np.array([[1.1, 0.15], [-0.05, 0.8]])
    bent_V3 = np.concatenate((flat_V3[:, :2] @ gradient_22.T, np.zeros((3, 1))), 1) @ turn_33.T + 5
    # Texture coordinates that are the positions themselves: the frame's first axis is x.
    faces_13 = np.array([[0, 1, 2]]) if np.cross(*(flat_V3[1:, :2] - flat_V3[0, :2])) > 0 else np.array([[0, 2, 1]])
    strain_3 = green_strain(flat_V3, bent_V3, faces_13, flat_V3[faces_13][..., :2])[:, 0]
    expected_22 = (gradient_22.T @ gradient_22 - np.eye(2)) / 2
    np.testing.assert_allclose(strain_3, [expected_22[0, 0], expected_22[1, 1], expected_22[0, 1]], atol=1e-9)


def test_strain_ignores_rigid_motion() -> None:
    neutral_V3 = HEAD.template_V3.astype(np.float64)
    turn_33, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))
    turn_33 *= np.sign(np.linalg.det(turn_33))
    assert np.abs(gauge_of(HEAD).compression(neutral_V3, neutral_V3 @ turn_33.T + 0.3)).max() < 1e-9


def test_arkit_weights_come_back_from_codes() -> None:
    reader = reader_of(HEAD)
    weights = {"browDownLeft": 0.7, "mouthSmileRight": 0.4, "jawOpen": 0.5, "noseSneerLeft": 0.2}
    expression_E, turns_33 = reader.coefficients(weights)
    found = reader.weights(expression_E, turns_33[0])
    for name in set(reader.names) - {"tongueOut"}:
        assert found[name] == pytest.approx(weights.get(name, 0.0), abs=1e-3), name


def test_reference_expressions_drive_their_channels_on_all_heads() -> None:
    rng = np.random.default_rng(2)
    shapes = [rng.standard_normal(100) for _ in range(20)]
    channel = 0
    for family in FAMILIES:
        count = {"middle": 1, "paired": 2, "forehead": 5}[family.layout]
        # The others follow ARKit alone. The mean over heads counts: strain differs a little between people.
        if family.strain:
            gauged = []
            for shape_S in shapes:
                expression_E, turns_33 = reader_of(HEAD).coefficients(family.reference)
                verts_V3 = posed(LAYER, shape_S, expression_E, turns_33[0])
                gauged.append(gauge_of(HEAD).compression(posed(LAYER, shape_S, *REST), verts_V3))
            mean_C = np.mean(gauged, 0)[channel : channel + count]
            np.testing.assert_allclose(mean_C, 1, atol=0.15, err_msg=family.name)
        channel += count


def test_expressions_drive_only_what_they_move() -> None:
    frown, smile, pucker = (drive({name: 1.0}) for name in ("browDown", "mouthSmile", "mouthPucker"))
    assert frown[channels("forehead")].max() < -0.9  # stretched
    assert frown[channels("glabella")].min() > 0.9
    for mouth in (smile, pucker):
        assert np.abs(mouth[channels("forehead") + channels("glabella")]).max() < 0.1
    laughing = {"mouthSmile": 1.0, "cheekSquint": 1.0, "eyeSquint": 0.5, "jawOpen": 0.4}
    for seed in range(4):
        shape_S = np.random.default_rng(seed).standard_normal(100)
        assert drive(laughing, shape_S)[channels("forehead") + channels("glabella")].max() < 0.05
    assert drive(BROWS_UP)[channels("nasolabial") + channels("crows") + channels("glabella")].max() < 0.1


def test_one_side_alone() -> None:
    # The middle is shared, and so are the lips' neighbours to some part.
    left = drive({"mouthSmileLeft": 1, "cheekSquintLeft": 1, "eyeSquintLeft": 1, "noseSneerLeft": 1})
    for family in ("crows_feet", "under_eye", "nasolabial", "bunny", "cheek"):
        own, other = left[channels(family)]
        assert own > 0.5 and abs(other) < 0.1, family


@pytest.mark.parametrize(("age", "least"), [(25, 5.0), (45, 2.5), (70, 2.0)])
def test_raised_brows_deepen_the_forehead(age: int, least: float) -> None:
    who = person(3, age)
    raised = who.response(drive(BROWS_UP))
    assert depth(who, raised, "forehead") > least * depth(who, who.neutral, "forehead")
    frowning = who.response(drive({"browDown": 1.0}))
    assert depth(who, frowning, "glabella") > 2 * depth(who, who.neutral, "glabella") or age == 70
    assert depth(who, frowning, "forehead") < 0.6 * depth(who, who.neutral, "forehead") + 1e-6


def test_young_skin_at_rest_is_smooth() -> None:
    # Lower lids, chin and nasolabial folds have their creases at any age.
    families = ("forehead", "glabella", "nasal_root", "crows_feet", "bunny", "cheek", "upper_lip", "lower_lip")
    depths = np.array([[depth(person(seed, 22), person(seed, 22).neutral, f) for f in families] for seed in (3, 4, 5)])
    assert depths.mean() < 0.02 and depths.mean(0).max() < 0.03 and depths.max() < 0.06


def test_wrinkles_deepen_with_age() -> None:
    at_rest = [
        np.mean([depth(person(seed, age), person(seed, age).neutral, "") for seed in range(3)]) for age in (22, 45, 70)
    ]
    assert at_rest[0] < at_rest[1] < at_rest[2]


def test_response_is_monotone_and_saturates() -> None:
    who = person(3, 45)
    rows = np.array([who.response(np.full(len(NAMES), x)) for x in np.linspace(-2, 2, 41)])
    assert (np.diff(rows, axis=0) >= 0).all()
    np.testing.assert_allclose(who.response(np.ones(len(NAMES))), 1)
    np.testing.assert_allclose(who.neutral, who.rest_C)


def test_symmetric_people_are_symmetric() -> None:
    who = person(4, 60, asymmetry=0.0)
    activation_C = who.response(drive(BROWS_UP | {"mouthSmile": 0.7, "noseSneer": 0.5}))
    # The head's own response is symmetric to rounding only; make it exactly so.
    for left in (i for i, name in enumerate(NAMES) if name.endswith("_l")):
        activation_C[left] = activation_C[left + 1]
    first = channels("forehead")
    activation_C[first] = (activation_C[first] + activation_C[first][::-1]) / 2
    relief_HW = 1e3 * np.tensordot(activation_C.astype(np.float32), who.wrinkles_CHW, 1)
    assert relief_HW.std() > 0.02
    np.testing.assert_allclose(relief_HW, relief_HW[:, ::-1], atol=1e-5)


def test_asymmetric_people_are_not() -> None:
    left, right = (person(4, 60).wrinkles_CHW[i] for i in channels("crows_feet"))
    assert np.abs(left - right[:, ::-1]).max() > 0.1 * np.abs(left).max()


def test_displacement_is_small_and_ends_at_borders() -> None:
    mask_HW = uv_mask(HEAD, DETAIL_MASK).numpy()
    lips_HW = uv_mask(HEAD, "lips").numpy()
    for seed, age in ((3, 25), (4, 80), (5, 70)):
        who = person(seed, age)
        displacement_HW = who.displacement(who.response(np.full(len(NAMES), 1.8)))
        assert np.abs(displacement_HW).max() < 5e-3
        assert np.abs(displacement_HW[mask_HW == 0]).max() < 1e-6
        assert np.abs(displacement_HW[lips_HW == 1]).max() < 1e-6
        assert np.isfinite(displacement_HW).all()


def test_the_same_seed_gives_the_same_person() -> None:
    who, again, other = person(3, 45), Person.make(HEAD, 3, 45), person(4, 45)
    np.testing.assert_array_equal(who.wrinkles_CHW, again.wrinkles_CHW)
    np.testing.assert_array_equal(who.static_HW, again.static_HW)
    assert np.abs(who.wrinkles_CHW - other.wrinkles_CHW).max() > 1e-4


def test_walking_on_the_skin_keeps_lengths() -> None:
    skin = skin_of(HEAD)
    start_2 = skin.landmark_L2[[27]]
    for way in ((10.0, 0.0), (0.0, 40.0), (-8.0, 30.0)):
        end_2 = skin.walk(start_2, np.array([way]))
        path = start_2 + np.linspace(0, 1, 50)[:, None] * (end_2 - start_2)
        length = np.linalg.norm(np.diff(skin.at(path, skin.position_HW3), axis=0), axis=1).sum()
        assert length == pytest.approx(np.hypot(*way), rel=0.12)


def test_profiles() -> None:
    x = np.linspace(0, 30, 3001)
    assert valley(x, 1.5).argmin() == 0 and valley(np.zeros(1), 1.5)[0] == pytest.approx(-1, abs=0.02)
    assert 0.1 < valley(x, 1.5).max() < 0.4 and abs(valley(x, 1.5)[-1]) < 1e-6
    assert fold(np.array([5.0]), 2.0)[0] > 0.4 > 0 > fold(np.array([0.0]), 2.0)[0]


def test_sides_of_names() -> None:
    names = reader_of(HEAD).names
    assert sided("jawOpen", names, "Left") == ("jawOpen",)
    assert sided("mouthSmile", names) == ("mouthSmileLeft", "mouthSmileRight")
    assert sided("mouthSmile", names, "Right") == ("mouthSmileRight",)
    known = {shape for family in FAMILIES for name in family.arkit for shape in sided(name, names)}
    assert known <= set(names)
    assert len(NAMES) == len(person(3, 45).wrinkles_CHW) and person(3, 45).static_HW.shape == (MAP_SIZE, MAP_SIZE)


def drawn_lines(seed: int) -> list[tuple[Family, Line, Draws]]:
    """All lines of somebody's left side and middle."""
    drawn = []
    for number, family in enumerate(FAMILIES):
        draws = Draws((seed, number), 0, ASYMMETRY, mirrored=family.layout != "paired")
        lines = PATTERNS[family.name](draws)
        drawn += [(family, line, draws.child(i)) for i, line in enumerate(lines)]
    return drawn


def turns(position_N3: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosines of the angles by which a curve turns within four millimetres; a chord is two, which leaves out wobble."""
    place_N = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(position_N3, axis=0), axis=1))))
    chord_N3 = np.stack([np.interp(np.arange(0, place_N[-1], 2.0), place_N, x) for x in position_N3.T], 1)
    ways_N3 = np.diff(chord_N3, axis=0)
    ways_N3 /= np.linalg.norm(ways_N3, axis=1, keepdims=True)
    return (ways_N3[:-2] * ways_N3[2:]).sum(1)


def test_lines_have_no_hooks() -> None:
    # A line that turns by a right angle within five millimetres has run into an eyelid or round a corner.
    for seed in range(6):
        for family, line, draws in drawn_lines(seed):
            if np.max(line.depth) < 0.02:
                continue  # it is not drawn
            turn_N = turns(trace(line, skin_of(HEAD), draws).position_N3)
            assert (turn_N > 0.2).all(), (family.name, seed)


def test_folds_end_softly() -> None:
    skin = skin_of(HEAD)
    for seed in range(3):
        for family, line, draws in drawn_lines(seed):
            if not family.is_fold or np.max(line.depth) < 0.2:
                continue
            curve = trace(line, skin, draws)
            relief_HW = np.zeros(skin.fade_HW.shape, np.float32)
            press(relief_HW, curve, line, family.width, True, skin, draws)
            along_N = -skin.at(curve.texel_N2, np.repeat(relief_HW[..., None], 2, -1))[:, 0]
            ends = np.concatenate((along_N[: len(along_N) // 20], along_N[-len(along_N) // 20 :]))
            assert ends.max() < 0.15 * along_N.max(), (family.name, seed)


def test_everybody_has_other_lines() -> None:
    """Between the brows, on the forehead and at the eyes; and where lines meet, they do not add up."""
    people = [Person.make(HEAD, seed, 60) for seed in range(8)]
    for family in ("forehead2", "glabella_l", "crows_feet_l", "bag_l", "nasolabial_l"):
        [channel] = channels(family)
        relief_PX = np.stack([who.wrinkles_CHW[channel].ravel().astype(np.float64) for who in people])
        relief_PX /= np.linalg.norm(relief_PX, axis=1, keepdims=True)
        alike = (relief_PX @ relief_PX.T)[np.triu_indices(len(people), 1)]
        assert np.median(alike) < 0.8 and alike.max() < 0.97, family
    deepest_PC = np.array([-1e3 * who.wrinkles_CHW.min((1, 2)) for who in people])
    assert deepest_PC.max() < 2.5
    # Some have next to nothing of a kind, others much.
    assert deepest_PC[:, channels("glabella_l")].max() > 4 * deepest_PC[:, channels("glabella_l")].min()


def test_without_variety_lines_lie_in_the_same_places() -> None:
    """Of two people of one age; how deep they are still differs."""

    def likeness(variety: float) -> np.ndarray:
        one_CX, other_CX = (
            Person.make(HEAD, seed, 45, variety=variety).wrinkles_CHW.reshape(len(NAMES), -1).astype(np.float64)
            for seed in (3, 4)
        )
        depths = np.abs(one_CX).max(1) / np.abs(other_CX).max(1)
        assert np.ptp(depths) > 0.2
        return (one_CX * other_CX).sum(1) / (np.linalg.norm(one_CX, axis=1) * np.linalg.norm(other_CX, axis=1))

    assert likeness(0.0).min() > 0.999
    assert np.median(likeness(0.35)) > np.median(likeness(1.0)) + 0.1


def test_a_smile_bends_no_line_into_a_hook() -> None:
    """The corner of the mouth moves by a centimetre, and what begins at it would be bent round it."""
    expression_E, turns_33 = reader_of(HEAD).coefficients({"mouthSmile": 1.0, "cheekSquint": 1.0})
    smiling_V3 = 1000 * posed(LAYER, np.zeros(100), expression_E, turns_33[0])
    skin, texels = skin_of(HEAD), texels_of(HEAD, SIZE)
    position_HW3 = texels.interpolate(smiling_V3.astype(np.float32)).reshape(-1, 3)[texels.nearest_HW]
    for seed in range(12):
        for family, line, draws in drawn_lines(seed):
            if family.name in ("nasolabial", "marionette", "cheek") and np.max(line.depth) > 0.1:
                turn_N = turns(skin.at(trace(line, skin, draws).texel_N2, position_HW3))
                assert turn_N.min() > 0.35, (family.name, seed)


def test_lines_are_as_many_as_ever_and_not_evenly_spaced() -> None:
    """Real lines crowd here and leave gaps there."""
    counts, unevenness = [], []
    for seed in range(200):
        lines = PATTERNS["forehead"](Draws((seed, 0), 0, ASYMMETRY, mirrored=True))
        long = [line for line in lines if line.taper[0] == line.taper[1]]  # the short ones between have another taper
        counts.append(len(long))
        gaps = np.diff([line.way_M2[6, 1] for line in long])
        if len(gaps) > 1:
            unevenness.append(gaps.std() / gaps.mean())
            assert gaps.min() > 1.0, seed
    assert np.mean(counts) == pytest.approx(3.6, abs=0.25)
    assert np.mean(unevenness) > 0.22
    places = _spread_out(Draws((1,), 0, ASYMMETRY), 6, 0.5)
    np.testing.assert_allclose(places[[0, -1]], (0, 1))
    assert np.diff(places).max() > 1.5 * np.diff(places).min() > 0
    typical = Draws((0,), 0, 0.0, variety=0.0)
    np.testing.assert_allclose(_spread_out(typical, 5, 0.5), np.linspace(0, 1, 5))


def test_not_everybody_has_a_pair_of_lines_between_the_brows() -> None:
    """Some have one line, on either side or in the middle."""
    depth_PS = np.array(
        [
            [np.max(PATTERNS["glabella"](Draws((seed, 1), side, ASYMMETRY))[0].depth) for side in (0, 1)]
            for seed in range(300)
        ]
    )
    ratio_P = depth_PS.min(1) / depth_PS.max(1)
    assert 0.3 < (ratio_P < 0.3).mean() < 0.7 and (ratio_P > 0.7).mean() > 0.1
    assert depth_PS.mean() == pytest.approx(1.1, abs=0.2)
