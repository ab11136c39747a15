"""What F_d sees, which maps are kept, and which are asked for next."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deca_blender.client import BackendDied, ClientError, RequestFailed
from deca_blender.core.wrinkles import LatestWins, MapCache, WrinkleInputs, axis_angle_of, seen_expression
from deca_blender.protocol.messages import DecodeWrinkles, WrinklesReply


def inputs(value: float = 0.0, jaw: float = 0.0, detail: float = 0.0, weights_hash: str = "w") -> WrinkleInputs:
    expression = np.full(50, value, np.float32)
    return WrinkleInputs(
        np.full(8, detail, np.float32), expression, np.array((jaw, 0, 0), np.float32), weights_hash, "openhead"
    )


# ---- what F_d sees ---------------------------------------------------------------------------------------------------


def test_expression_is_the_keys_plus_the_arkit_map() -> None:
    random = np.random.default_rng(0)
    names = tuple(f"shape{index}" for index in range(7))
    arkit_map, sliders, keys = random.normal(size=(50, 7)), random.uniform(size=7), random.normal(size=50)
    values = {f"exp_{index:03d}": value for index, value in enumerate(keys)} | dict(zip(names, sliders, strict=True))
    values |= {"Basis": 3.0, "corr_jaw_00": 9.0}
    slow = [keys[row] + sum(arkit_map[row, k] * sliders[k] for k in range(7)) for row in range(50)]
    got = seen_expression(values, names, arkit_map)
    assert got.dtype == np.float32 and np.abs(got - slow).max() < 1e-6
    del values["shape3"], values["exp_011"]  # the user has deleted them
    slow = np.array(slow) - arkit_map[:, 3] * sliders[3]
    slow[11] -= keys[11]
    assert np.abs(seen_expression(values, names, arkit_map) - slow).max() < 1e-6
    assert np.abs(seen_expression(values, (), np.empty((0, 0))) - np.where(np.arange(50) == 11, 0, keys)).max() < 1e-6


def rotation(axis_angle: np.ndarray) -> np.ndarray:
    """The matrix exponential by its series, in small steps."""
    x, y, z = axis_angle / 64
    step, term = np.eye(3), np.eye(3)
    for order in range(1, 12):
        term = term @ np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) / order
        step = step + term
    return np.linalg.matrix_power(step, 64)


@given(arrays(np.float64, 3, elements=st.floats(-1, 1)), st.floats(0, 3.14159))
def test_axis_angle_is_the_rotations_logarithm(axis: np.ndarray, angle: float) -> None:
    length = np.linalg.norm(axis)
    vector = axis * (angle / length) if length > 1e-3 else np.zeros(3)
    assert np.abs(axis_angle_of(rotation(vector)) - vector).max() < 3e-6


def test_half_a_turn_has_its_axis() -> None:
    for axis in np.vstack([np.eye(3), np.random.default_rng(1).normal(size=(20, 3))]):
        axis /= np.linalg.norm(axis)
        got = axis_angle_of(2 * np.outer(axis, axis) - np.eye(3))
        assert min(np.abs(got - np.pi * axis).max(), np.abs(got + np.pi * axis).max()) < 1e-5


def test_keys_tell_apart_what_matters() -> None:
    base = inputs(0.5, 0.1, 1.0)
    assert base.key == inputs(0.5 + 1e-7, 0.1, 1.0).key
    others = [inputs(0.501, 0.1, 1.0), inputs(0.5, 0.101, 1.0), inputs(0.5, 0.1, 1.001), inputs(0.5, 0.1, 1.0, "v")]
    others.append(WrinkleInputs(base.detail_D, base.expression_E, base.jaw_3, "w", "flame"))
    others.append(WrinkleInputs(base.detail_D, base.expression_E, base.jaw_3, "w", "openhead", "earlier"))
    assert others[-1].request("").head_hash == "earlier"
    others += [replace(base, reliefs=worn) for worn in ({b"hers": 1.0}, {b"hers": 0.5}, {b"his": 1.0})]
    others.append(replace(base, reliefs={b"hers": 1.0, b"his": 0.5}))
    assert len({base.key, *(other.key for other in others)}) == 11
    worn = others[-1].request("").reliefs
    assert [(share.relief.tobytes(), share.share) for share in worn] == [(b"hers", 1.0), (b"his", 0.5)]


# ---- the cache -------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(1, 40))))
def test_cache_is_a_least_recently_used_one_by_bytes(steps: list[tuple[int, bool, int]]) -> None:
    cache, model = MapCache(max_bytes=200), OrderedDict()
    for name, is_put, size in steps:
        key = bytes([name])
        if is_put:
            model.pop(key, None)
            model[key] = np.full((1, size), size, np.float32)
            cache.put(key, model[key])
            while sum(item.nbytes for item in model.values()) > 200:
                model.popitem(last=False)
        else:
            assert cache.get(key) is model.get(key)
            if key in model:
                model.move_to_end(key)
    for key in list(model):
        assert cache.get(key) is model[key]


# ---- latest wins -----------------------------------------------------------------------------------------------------


class Job:
    def __init__(self, request: DecodeWrinkles) -> None:
        self.request, self.is_cancelled = request, False
        self.answer: WrinklesReply | Exception | None = None

    def poll(self) -> bool:
        return self.answer is not None

    def result(self) -> WrinklesReply:
        if isinstance(self.answer, Exception):
            raise self.answer
        assert self.answer is not None
        return self.answer

    def cancel(self) -> None:
        self.is_cancelled = True


def test_a_smaller_cache_drops_the_oldest_at_once() -> None:
    cache, maps = MapCache(max_bytes=400), [np.zeros((5, 5), np.float32) for _ in range(4)]
    for name, map_NN in enumerate(maps):
        cache.put(bytes([name]), map_NN)
    cache.resize(250)
    assert [cache.get(bytes([name])) for name in range(2)] == [None, None] and cache.get(bytes([3])) is maps[3]
    cache.resize(0)
    cache.put(b"x", maps[0])
    assert cache.get(b"x") is None


def map_of(request: DecodeWrinkles) -> np.ndarray:
    """A map that tells what was asked."""
    values = (request.expression[0], request.jaw[0], request.detail[0])
    return np.array(values, np.float32)[None].repeat(3, 0)


class World:
    """A scheduler, a backend that answers when told to, and a clock."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.now = 0.0
        self.cache = MapCache()
        self.heads = LatestWins(self.submit, self.cache, lambda: self.now)
        self.shown: dict[int, np.ndarray] = {}

    def submit(self, request: DecodeWrinkles) -> Job:
        self.jobs.append(Job(request))
        return self.jobs[-1]

    @property
    def waiting(self) -> list[Job]:
        return [job for job in self.jobs if not job.poll()]

    def answer(self, error: ClientError | None = None) -> None:
        for job in self.waiting:
            job.answer = error or WrinklesReply(map_of(job.request))

    def step(self) -> list[int]:
        shown = self.heads.step()
        self.shown.update(shown)
        return [head for head, _ in shown]


def test_one_request_is_under_way_and_the_newest_follows() -> None:
    world = World()
    for value in range(10):
        world.heads.want(1, inputs(value), "file")
        assert world.step() == []
    assert len(world.jobs) == 1 and world.jobs[0].request.weights == "file" and world.heads.is_behind(1)
    world.answer()
    assert world.step() == [1] and world.shown[1][0, 0] == 0  # nearer than what was seen before
    assert len(world.jobs) == 2 and world.jobs[1].request.expression[0] == 9
    world.answer()
    assert world.step() == [1] and world.shown[1][0, 0] == 9
    assert not world.heads.is_behind(1) and world.heads.is_idle and world.step() == []


def test_it_asks_as_soon_as_something_is_wanted_and_nothing_is_under_way() -> None:
    world = World()
    world.heads.want(1, inputs(3), "file")
    assert [job.request.expression[0] for job in world.jobs] == [3]  # before the next step
    world.heads.want(1, inputs(4), "file")
    assert len(world.jobs) == 1
    world.answer(BackendDied("killed"))
    world.step()
    world.answer(BackendDied("killed again"))
    world.step()
    asked = len(world.jobs)
    world.heads.want(1, inputs(5), "file")  # while it pauses after the second failure
    assert len(world.jobs) == asked


def test_what_is_known_is_not_asked_again() -> None:
    world = World()
    for value in (1, 2, 1, 2):
        world.heads.want(1, inputs(value), "file")
        world.step()
        world.answer()
        world.step()
        assert world.shown[1][0, 0] == value
    assert len(world.jobs) == 2
    world.heads.invalidate()
    world.shown.clear()
    assert world.step() == [1] and world.shown[1][0, 0] == 2 and len(world.jobs) == 2


def test_answers_to_other_wrinkles_are_dropped() -> None:
    before = replace(inputs(0, detail=1.0), reliefs={b"hers": 1.0})
    for change in (inputs(0, detail=2.0), inputs(0, weights_hash="other"), replace(before, reliefs={b"his": 1.0})):
        world = World()
        world.heads.want(1, before, "file")
        world.step()
        world.heads.want(1, change, "file")
        world.answer()
        assert world.step() == [] and len(world.jobs) == 2
        world.answer()
        assert world.step() == [1] and world.shown[1][0, 2] == change.detail_D[0]


def test_answers_to_another_amount_of_the_same_relief_are_shown() -> None:
    world = World()
    for amount in (0.2, 0.4):  # a drag of the slider
        world.heads.want(1, replace(inputs(amount), reliefs={b"hers": amount}), "file")
    world.answer()
    assert world.step() == [1] and world.heads.is_behind(1)


def test_a_deleted_heads_answer_is_dropped_and_its_request_given_up() -> None:
    world = World()
    world.heads.want(1, inputs(1), "file")
    world.step()
    world.heads.forget(1)
    world.heads.forget(2)
    assert world.jobs[0].is_cancelled
    world.answer()
    assert world.step() == [] and world.heads.is_idle and not world.heads.is_behind(1)


def test_what_somebody_else_has_applied_is_not_asked_for() -> None:
    world = World()
    world.heads.has_applied(1, inputs(1), "file")
    world.heads.want(1, inputs(1), "file")
    assert world.step() == [] and not world.jobs


def test_a_dead_backend_is_asked_again_at_once_then_ever_more_rarely() -> None:
    world = World()
    world.heads.want(1, inputs(1), "file")
    world.step()
    asked: list[float] = []
    while world.now < 60:
        world.answer(BackendDied("It died."))
        before = len(world.jobs)
        world.step()
        asked += [world.now] * (len(world.jobs) - before)
        world.now += 0.1
    gaps = np.diff(asked)
    assert asked[0] == 0 and np.all(gaps[1:] > 0.9 * gaps[:-1]) and 4 < len(asked) < 12 and gaps.max() < 15.2
    assert world.heads.error(1) == "It died." and world.heads.is_behind(1)
    world.now += 20
    world.step()
    world.answer()
    assert world.step() == [1] and world.heads.error(1) == ""


def test_a_refused_request_is_not_repeated_at_once() -> None:
    world = World()
    world.heads.want(1, inputs(1), "file")
    world.step()
    world.answer(RequestFailed("AssetError", "No such weights.", "Choose others."))
    for _ in range(50):
        world.step()
    assert len(world.jobs) == 1 and "Choose others." in world.heads.error(1)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_the_last_inputs_are_shown_in_the_end(seed: int) -> None:
    """Random moves of three heads, answers, deaths and file changes; no map ever belongs to another head's code."""
    random = np.random.default_rng(seed)
    world = World()
    wanted: dict[int, WrinkleInputs] = {}
    for _ in range(300):
        head = int(random.integers(3))
        match int(random.integers(6)):
            case 0 | 1 | 2:
                wanted[head] = inputs(int(random.integers(6)), int(random.integers(3)), detail=head)
                world.heads.want(head, wanted[head], "file")
            case 3:
                world.answer()
            case 4:
                world.answer(BackendDied("It died.") if random.random() < 0.5 else None)
            case 5 if random.random() < 0.1:
                world.heads.invalidate()
        world.now += 0.02
        for shown in world.step():
            assert world.shown[shown][0, 2] == shown
        in_flight = [int(job.request.detail[0]) for job in world.waiting]
        assert len(in_flight) == len(set(in_flight))
    for _ in range(10):
        world.now += 20
        world.answer()
        world.step()
    for head, last in wanted.items():
        assert np.array_equal(world.shown[head], map_of(last.request("file"))) and not world.heads.is_behind(head)
