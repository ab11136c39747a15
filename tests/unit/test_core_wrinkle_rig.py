"""The baked wrinkle rig against decoders whose best rig is known, and its numbers against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from deca_blender.core import wrinkle_rig
from deca_blender.core.rig import LONGEST_EXPRESSION, DriverSpec

SIZE, INPUTS = 12, 53


def some_inputs(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, INPUTS)).astype(np.float32)


def linear_decoder(rank: int, seed: int = 1):
    """Neutral map and a decoder that is linear in its inputs, of the given rank; wrinkles of about a millimetre."""
    random = np.random.default_rng(seed)
    neutral = random.normal(scale=1e-3, size=(SIZE, SIZE)).astype(np.float32)
    slopes = random.normal(size=(INPUTS, rank)) / np.sqrt(INPUTS)
    maps = random.normal(scale=1e-3 / np.sqrt(rank), size=(rank, SIZE, SIZE))
    return neutral, lambda inputs: (neutral + np.tensordot(inputs @ slopes, maps, axes=1)).astype(np.float32)


@pytest.mark.parametrize("rank", [1, 7, 16])
def test_a_linear_decoder_is_recovered(rank: int) -> None:
    neutral, decode = linear_decoder(rank)
    inputs = some_inputs(400)
    rig = wrinkle_rig.fit(inputs, decode(inputs), neutral)
    assert len(rig.maps_KHW) == rank  # no map is spent on nothing
    unseen = 3 * some_inputs(50, seed=2)
    assert np.abs(rig.displacement(unseen) - decode(unseen)).max() < 1e-8  # of several mm; float32 maps
    assert np.allclose(rig.positive_XK, rig.negative_XK, atol=1e-4)


def test_a_decoder_that_folds_under_compression_only_is_recovered() -> None:
    neutral, _ = linear_decoder(1)
    fold = np.random.default_rng(3).normal(scale=1e-3, size=(2, SIZE, SIZE))

    def decode(inputs: NDArray) -> NDArray:
        drive = np.stack((np.maximum(inputs[:, 4], 0), np.minimum(inputs[:, 51], 0) - 0.3 * inputs[:, 7]), axis=1)
        return (neutral + np.tensordot(drive, fold, axes=1)).astype(np.float32)

    inputs, unseen = some_inputs(600), some_inputs(50, seed=4)
    rig = wrinkle_rig.fit(inputs, decode(inputs), neutral, num_maps=2)
    assert np.abs(rig.displacement(unseen) - decode(unseen)).max() < 1e-8
    assert np.abs(rig.negative_XK[4]).max() < 1e-3 < np.abs(rig.positive_XK[4]).max()


def test_fewer_maps_lose_the_least_important_directions() -> None:
    """Of a linear decoder with orthogonal inputs the best rig of K maps is its truncated singular value expansion."""
    random = np.random.default_rng(5)
    left = np.linalg.qr(random.normal(size=(INPUTS, 6)))[0]
    right = np.linalg.qr(random.normal(size=(SIZE * SIZE, 6)))[0]
    strengths = 1e-3 * np.array([8, 5, 3, 2, 1, 0.5])
    inputs = np.linalg.qr(random.normal(size=(800, INPUTS)))[0] * np.sqrt(800)  # exactly white
    neutral = np.zeros((SIZE, SIZE), np.float32)
    maps = (inputs @ left * strengths @ right.T).reshape(-1, SIZE, SIZE)
    rig = wrinkle_rig.fit(inputs, maps, neutral, num_maps=3)
    expected = (inputs @ left[:, :3] * strengths[:3] @ right[:, :3].T).reshape(-1, SIZE, SIZE)
    assert np.abs(rig.displacement(inputs) - expected).max() < 1e-4 * np.abs(maps).max()


def test_rest_is_the_neutral_map_and_weights_are_of_order_one() -> None:
    neutral, decode = linear_decoder(5)
    inputs = some_inputs(400)
    rig = wrinkle_rig.fit(inputs, decode(inputs), neutral)
    assert np.array_equal(rig.displacement(np.zeros((1, INPUTS)))[0], neutral)
    assert np.allclose(np.sqrt((rig.weights(inputs) ** 2).mean(axis=0)), 1, atol=1e-3)
    flat = rig.maps_KHW.reshape(len(rig.maps_KHW), -1).astype(np.float64)
    gram = flat @ flat.T
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-5 * gram.max()


def test_inputs_that_never_move_and_noise_do_no_harm() -> None:
    neutral, decode = linear_decoder(4)
    inputs = some_inputs(500)
    inputs[:, [3, 52]] = 0
    noise = np.random.default_rng(6).normal(scale=2e-5, size=(500, SIZE, SIZE)).astype(np.float32)
    rig = wrinkle_rig.fit(inputs, decode(inputs) + noise, neutral, num_maps=4)
    unseen = some_inputs(50, seed=7)
    unseen[:, [3, 52]] = 0
    assert np.sqrt(((rig.displacement(unseen) - decode(unseen)) ** 2).mean()) < 2e-5
    assert np.all(rig.positive_XK[[3, 52]] == 0) and np.all(rig.negative_XK[[3, 52]] == 0)


def test_a_head_without_motion_gives_a_rig_without_maps() -> None:
    neutral = np.full((SIZE, SIZE), 1e-3, np.float32)
    inputs = some_inputs(300)
    rig = wrinkle_rig.fit(inputs, np.repeat(neutral[None], 300, axis=0), neutral)
    assert rig.maps_KHW.shape == (0, SIZE, SIZE)
    assert np.array_equal(rig.displacement(inputs[:2])[1], neutral)
    assert wrinkle_rig.measure(rig, inputs, np.repeat(neutral[None], 300, axis=0)).percentile_95 == 0


def test_arrays_that_do_not_fit_are_refused() -> None:
    maps = np.zeros((300, SIZE, SIZE), np.float32)
    with pytest.raises(ValueError, match="do not fit"):
        wrinkle_rig.fit(some_inputs(299), maps, maps[0])
    with pytest.raises(ValueError, match="too few"):
        wrinkle_rig.fit(some_inputs(60), maps[:60], maps[0])


def test_the_error_equals_a_count_over_all_texels() -> None:
    neutral, decode = linear_decoder(20)
    inputs, unseen = some_inputs(400), some_inputs(30, seed=8)
    rig = wrinkle_rig.fit(inputs, decode(inputs), neutral, num_maps=8)
    truth = decode(unseen)
    truth[:, :2] = 0  # a border outside of the mask
    rig.neutral_HW[:2] = 0
    distances = []
    for sample in range(30):
        weights = [
            sum(
                max(value, 0) * rig.positive_XK[index, k] + min(value, 0) * rig.negative_XK[index, k]
                for index, value in enumerate(unseen[sample].tolist())
            )
            for k in range(8)
        ]
        for row in range(2, SIZE):
            for column in range(SIZE):
                got = rig.neutral_HW[row, column] + sum(w * m for w, m in zip(weights, rig.maps_KHW[:, row, column]))  # noqa: B905
                distances.append(abs(got - truth[sample, row, column]) * 1e3)
    error = wrinkle_rig.measure(rig, unseen, truth)
    assert error.within == pytest.approx(np.mean(np.array(distances) <= 0.15), abs=1e-3)
    assert error.percentile_95 == pytest.approx(sorted(distances)[int(0.95 * len(distances))], rel=0.01)
    assert error.worst == pytest.approx(max(distances), rel=1e-4)
    assert error.rms == pytest.approx(np.sqrt(np.mean(np.square(distances))), rel=1e-4)
    assert 0.2 < error.within < 0.95  # the count means something


def test_a_shorter_mask_counts_only_its_texels() -> None:
    neutral, decode = linear_decoder(3)
    inputs = some_inputs(300)
    rig = wrinkle_rig.fit(inputs, decode(inputs), neutral)
    truth = decode(inputs[:5])
    truth[:, 0, 0] += 1e-3
    mask = np.ones((SIZE, SIZE), bool)
    assert wrinkle_rig.measure(rig, inputs[:5], truth, mask).worst == pytest.approx(1.0, rel=1e-3)
    mask[0, 0] = False
    assert wrinkle_rig.measure(rig, inputs[:5], truth, mask).worst < 1e-4


def test_samples_are_plausible_and_reproducible() -> None:
    arkit_map = np.zeros((60, 52))
    arkit_map[:50] = np.random.default_rng(9).normal(size=(50, 52))
    arkit_map[51, 24] = 0.42
    samples = wrinkle_rig.sample_inputs(np.random.default_rng(1), 400, arkit_map)
    assert np.array_equal(samples, wrinkle_rig.sample_inputs(np.random.default_rng(1), 400, arkit_map))
    assert samples.shape == (400, 53) and samples.dtype == np.float32
    assert samples[:, 50].min() >= 0 and 0.15 < samples[:, 50].max() <= 0.42 + 0.15
    assert np.all(samples[:, 51:] == 0)  # this map turns the jaw about x only
    without = wrinkle_rig.sample_inputs(np.random.default_rng(1), 400, None)
    assert without.shape == (400, 53) and np.abs(without[:, :50].std() - 1) < 0.05
    assert -0.2 < without[:, 50].min() and without[:, 50].max() < 0.6


def evaluate(drivers: list[wrinkle_rig.NamedDriver], values: dict[str, float]) -> dict[str, float]:
    """All drivers in order, as Blender computes them; `values` by RNA path."""
    values = dict(values)
    for driver in drivers:
        values[f'["{driver.name}"]'] = run(driver.spec, values)
    return values


def run(spec: DriverSpec, values: dict[str, float]) -> float:
    names = {term.name: values[term.path] for term in spec.terms}
    return float(eval(spec.expression, {"__builtins__": {}} | {"max": max, "min": min} | names))


def test_drivers_compute_the_weights() -> None:
    neutral, decode = linear_decoder(6)
    inputs = some_inputs(300)
    rig = wrinkle_rig.fit(inputs, np.abs(decode(inputs)), neutral, num_maps=5)
    paths = [f'["input_{index}"]' for index in range(INPUTS)]
    drivers = wrinkle_rig.weight_drivers(rig, paths)
    assert max(len(driver.spec.expression) for driver in drivers) <= LONGEST_EXPRESSION
    assert len({driver.name for driver in drivers}) == len(drivers)
    for sample in inputs[:10]:
        values = evaluate(drivers, dict(zip(paths, sample.tolist(), strict=True)))
        got = [values[f'["wrinkle_{k:02d}"]'] for k in range(5)]
        assert np.allclose(got, rig.weights(sample[None])[0], atol=2e-4)


def test_sums_of_any_length() -> None:
    assert [driver.spec for driver in wrinkle_rig.sum_drivers("s", [(0.0, "{}", "a")])] == [DriverSpec("0", ())]
    (short,) = wrinkle_rig.sum_drivers("s", [(2.0, "{}", "p"), (-0.5, "max({},0)", "p")])
    assert short.name == "s" and run(short.spec, {"p": 3.0}) == 4.5 and len(short.spec.terms) == 1
    random = np.random.default_rng(10)
    factors, values = random.normal(size=900), random.normal(size=900)
    terms = [(float(factor), "{}", f"p{index}") for index, factor in enumerate(factors)]
    drivers = wrinkle_rig.sum_drivers("s", terms)
    assert drivers[-1].name == "s" and max(len(driver.spec.expression) for driver in drivers) <= LONGEST_EXPRESSION
    result = evaluate(drivers, {f"p{index}": float(value) for index, value in enumerate(values)})
    assert result['["s"]'] == pytest.approx(float(factors @ values), abs=1e-3)
