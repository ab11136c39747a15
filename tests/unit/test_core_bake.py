"""Files and drivers of baked wrinkles without Blender, against other readers and plain sums."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from deca_blender.client import BackendDied
from deca_blender.core.atlas import Atlas
from deca_blender.core.decode_many import decode_many
from deca_blender.core.exr import half_exr
from deca_blender.core.rig import LONGEST_EXPRESSION
from deca_blender.core.rig_inputs import input_drivers, input_names
from deca_blender.protocol.messages import WrinklesReply

FUNCTIONS = {name: getattr(math, name) for name in ("sqrt", "atan2", "fmod", "floor")} | {"max": max, "min": min}


def evaluate(expression: str, **values: float) -> float:
    return float(eval(expression, {"__builtins__": {}}, FUNCTIONS | values))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (37, 5), (256, 256), (17, 300)])
@pytest.mark.parametrize("kind", ["noise", "flat", "smooth"])
def test_openexr_reads_what_is_written(tmp_path: Path, height: int, width: int, kind: str) -> None:
    random = np.random.default_rng(0)
    values = {
        "noise": random.normal(scale=1e-3, size=(height, width)),
        "flat": np.full((height, width), 2e-3),
        "smooth": 1e-3 * np.sin(np.arange(height * width) / 50).reshape(height, width),
    }[kind].astype(np.float32)
    path = tmp_path / "map é.exr"
    path.write_bytes(half_exr(values))
    with OpenEXR.File(str(path)) as file:
        channels = file.channels()
        assert list(channels) == ["Y"] and channels["Y"].pixels.dtype == np.float16
        assert np.array_equal(channels["Y"].pixels, values.astype(np.float16))
        assert file.header()["compression"] == OpenEXR.ZIP_COMPRESSION


def test_what_half_floats_cannot_hold_is_clipped(tmp_path: Path) -> None:
    (tmp_path / "a.exr").write_bytes(half_exr(np.array([[1e9, -1e9, 0.5]])))
    with OpenEXR.File(str(tmp_path / "a.exr")) as file:
        assert file.channels()["Y"].pixels.tolist() == [[65504, -65504, 0.5]]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(-50, 50),
    st.integers(1, 90),
    st.integers(-640, 1600).map(lambda eighth: eighth / 8),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_cropped_atlas_samples_as_the_frame_alone(first: int, count: int, time: float, u: float, v: float) -> None:
    """Texture coordinate (u, v) falls on the same texels, and the same place between them, as in the frame alone."""
    size = 8
    atlas = Atlas(first, first + count - 1, size)
    maps = np.arange(count * size * size, dtype=np.float32).reshape(count, size, size) % 2039
    picture = atlas.empty()
    for index, map_NN in enumerate(maps):
        atlas.put(picture, first + index, map_NN)
    crop = {name: evaluate(text, frame=time) for name, text in atlas.crop_expressions().items()}
    assert all(len(text) <= LONGEST_EXPRESSION for text in atlas.crop_expressions().values())
    shown = maps[min(max(math.floor(time) - first, 0), count - 1)]
    inside_u = crop["crop_min_x"] + u * (crop["crop_max_x"] - crop["crop_min_x"])
    inside_v = crop["crop_min_y"] + v * (crop["crop_max_y"] - crop["crop_min_y"])
    got = bilinear(picture.astype(np.float64), inside_u, inside_v)
    assert got == pytest.approx(bilinear(shown.astype(np.float64), u, v), abs=1e-6 * 2039 * picture.size)


def bilinear(picture: np.ndarray, u: float, v: float) -> float:
    """A sample between texel centres, the edge extended; v up, top row first."""
    height, width = picture.shape
    x, y = u * width - 0.5, (1 - v) * height - 0.5
    left, top = math.floor(x), math.floor(y)
    total = 0.0
    for row, share_y in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, share_x in ((left, 1 - (x - left)), (left + 1, x - left)):
            total += share_x * share_y * picture[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
    return total


def input_values(names: tuple[str, ...], arkit_map: np.ndarray, sliders: dict[str, float]) -> list[float]:
    """The inputs as the drivers compute them, one after another."""
    values = {f'key_blocks["{name}"].value': value for name, value in sliders.items()}
    for driver in input_drivers(names, arkit_map):
        assert len(driver.spec.expression) <= LONGEST_EXPRESSION
        terms = {term.name: values[term.path] for term in driver.spec.terms}
        values[f'["{driver.name}"]'] = evaluate(driver.spec.expression, **terms)
    return [values[f'["{name}"]'] for name in input_names()]


@pytest.mark.parametrize("num_shapes", [0, 52])
@pytest.mark.parametrize("angle", [0.0, 1e-8, 1e-3, 0.4, 1.7, 3.0])
def test_input_drivers_see_what_the_networks_see(num_shapes: int, angle: float) -> None:
    random = np.random.default_rng(1)
    names = tuple(f"shape{index}" for index in range(num_shapes))
    arkit_map = random.normal(size=(50, num_shapes))
    sliders = dict(zip(names, random.random(num_shapes).tolist(), strict=True))
    sliders |= {f"exp_{index:03d}": float(random.normal()) for index in range(50)}
    axis = np.array([0.9, -0.3, 0.1]) / np.linalg.norm([0.9, -0.3, 0.1])
    matrix = Rotation.from_rotvec(angle * axis).as_matrix() - np.eye(3)
    sliders |= {f"corr_jaw_{row}{column}": float(matrix[row, column]) for row in range(3) for column in range(3)}
    got = input_values(names, arkit_map, sliders)
    expression = np.array([sliders[f"exp_{index:03d}"] for index in range(50)])
    expression += arkit_map @ np.array([sliders[name] for name in names])
    assert np.allclose(got[:50], expression, atol=2e-4)  # five digits of each factor
    assert np.allclose(got[50:], angle * axis, atol=1e-7)


class Job:
    """A job that is done after it was polled some times."""

    def __init__(self, number: float, polls: int, error: Exception | None = None) -> None:
        self.number, self.polls, self.error, self.is_cancelled = number, polls, error, False

    def poll(self) -> bool:
        self.polls -= 1
        return self.polls < 0

    def result(self) -> WrinklesReply:
        if self.error:
            raise self.error
        return WrinklesReply(np.full((2, 2), self.number, np.float32))

    def cancel(self) -> None:
        self.is_cancelled = True


def test_maps_come_in_order_and_requests_only_a_few_ahead() -> None:
    asked: list[int] = []
    done: list[float] = []

    def submit(request: int) -> Job:
        asked.append(request)
        return Job(request, polls=(7 * request) % 5)

    for item in decode_many(submit, iter(range(20))):  # pyright: ignore[reportArgumentType]
        if isinstance(item, np.ndarray):
            done.append(float(item[0, 0]))
        assert len(asked) - len(done) <= 3
    assert done == list(range(20)) and asked == list(range(20))


def test_what_is_under_way_is_given_up() -> None:
    jobs: list[Job] = []

    def submit(request: int) -> Job:
        jobs.append(Job(request, 0, BackendDied("It died.") if request == 5 else None))
        return jobs[-1]

    with pytest.raises(BackendDied):
        list(decode_many(submit, iter(range(9))))  # pyright: ignore[reportArgumentType]
    assert [job.is_cancelled for job in jobs] == [False] * 6 + [True, True]
    jobs.clear()
    maps = decode_many(submit, iter(range(5)))  # pyright: ignore[reportArgumentType]
    next(maps)
    maps.close()
    assert [job.is_cancelled for job in jobs] == [False, True, True]
