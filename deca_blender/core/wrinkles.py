"""Live wrinkles without Blender: what F_d sees of a head, which maps are known already, and which to ask for next.

Shape suffixes: E expression coefficients, A ARKit shapes, N rows and columns of a displacement map.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..client import BackendDied, ClientError
from ..protocol.messages import DecodeWrinkles, ReliefShare, WrinklesReply
from .rig import NUM_EXPRESSION_KEYS, expression_key

_QUANTUM = 1e-5
"""Inputs that differ by less share a map: far below what 0.001 mm of a map need, far above rounding of Blender's."""

DEFAULT_CACHE_BYTES = 128 << 20

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0


@dataclass(frozen=True, eq=False)
class WrinkleInputs:
    """What F_d sees of a head as it is now.

    Attributes:
        detail_D: Detail code.
        expression_E: The 50 expression coefficients.
        jaw_3: Axis-angle of the jaw relative to the neck, radians.
        weights_hash: Hash of the weights that the detail code belongs to.
        head: Name of the head model.
        head_hash: Hash of the file that it was when the head was made; "" where that is not known.
        reliefs: Share of each relief that the head wears, by its bytes (`messages.ReliefShare`).
        age: How much older the wrinkles are (`messages.DecodeWrinkles`).
    """

    detail_D: NDArray[np.float32]
    expression_E: NDArray[np.float32]
    jaw_3: NDArray[np.float32]
    weights_hash: str
    head: str
    head_hash: str = ""
    reliefs: Mapping[bytes, float] = field(default_factory=dict)
    age: float = 0.0

    @property
    def key(self) -> bytes:
        """Equal for inputs whose maps are the same to far below what anyone can see."""
        moved = np.concatenate([self.expression_E, self.jaw_3, [self.age]]).astype(np.float64) / _QUANTUM
        codes = (
            f"{self.head}\n{self.head_hash}\n{self.weights_hash}\n".encode(),
            np.asarray(self.detail_D, np.float32).tobytes(),
        )
        worn = [_digest(relief) + np.float32(share).tobytes() for relief, share in self.reliefs.items()]
        return b"".join((*codes, *worn)) + np.rint(moved).astype(np.int64).tobytes()

    def wears_the_same(self, other: WrinkleInputs) -> bool:
        """Whether maps of both are of the same wrinkles, whatever the expression, the age, and however much of a
        relief."""
        models = [(inputs.head, inputs.weights_hash, inputs.reliefs.keys()) for inputs in (self, other)]
        return models[0] == models[1] and np.array_equal(self.detail_D, other.detail_D)

    def request(self, weights: str) -> DecodeWrinkles:
        """The question to the backend.

        Args:
            weights: Path of the weights file on the backend's machine.
        """
        codes = (self.detail_D, self.expression_E, self.jaw_3)
        worn = tuple(ReliefShare(np.frombuffer(relief, np.uint8), share) for relief, share in self.reliefs.items())
        return DecodeWrinkles(weights, self.weights_hash, *codes, self.head, self.head_hash, worn, self.age)


@lru_cache(maxsize=64)
def _digest(relief: bytes) -> bytes:
    return hashlib.sha256(relief).digest()


def seen_expression(
    values: Mapping[str, float], arkit_names: tuple[str, ...], arkit_map_EA: NDArray
) -> NDArray[np.float32]:
    """The 50 expression coefficients that F_d sees: the expression keys plus what the ARKit keys stand for.

    Args:
        values: Value of each shape key by name; keys that are missing are at rest.
        arkit_names: Names of the ARKit shapes, in the map's order; may be empty.
        arkit_map_EA: The ARKit map's rows of the expression coefficients (`HeadReply.arkit_map`), (50, A).
    """
    names = (expression_key(index) for index in range(NUM_EXPRESSION_KEYS))
    expression_E = np.array([values.get(name, 0.0) for name in names])
    if arkit_names:
        expression_E += np.asarray(arkit_map_EA, np.float64) @ [values.get(name, 0.0) for name in arkit_names]
    return expression_E.astype(np.float32)


def axis_angle_of(matrix_33: ArrayLike) -> NDArray[np.float32]:
    """Axis-angle (3,) of a rotation matrix, its length in [0, pi].

    From the sine and the cosine, so that small angles keep all their digits.
    """
    matrix = np.asarray(matrix_33, np.float64)
    turned = np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]]) / 2
    sine = float(np.linalg.norm(turned))
    cosine = (float(np.trace(matrix)) - 1) / 2
    angle = np.arctan2(sine, cosine)
    if sine > 1e-6:
        return (turned * (angle / sine)).astype(np.float32)
    if cosine > 0:
        return turned.astype(np.float32)
    # Half a turn: the sine says nothing about the axis; R = 2 n n^T - I does.
    outer = (matrix + np.eye(3)) / 2
    column = outer[:, np.argmax(np.diag(outer))]
    return (column / np.linalg.norm(column) * angle).astype(np.float32)


class MapCache:
    """The displacement maps used last, up to so many bytes. May be used from any thread.

    Args:
        max_bytes: Sum of the arrays' sizes that is not exceeded.
    """

    def __init__(self, max_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._maps: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def resize(self, max_bytes: int) -> None:
        """Sets how many bytes may be kept; what is too much goes at once."""
        with self._lock:
            self._max_bytes = max_bytes
            self._shrink()

    def get(self, key: bytes) -> NDArray[np.float32] | None:
        """The map, top row first, or None."""
        with self._lock:
            if key in self._maps:
                self._maps.move_to_end(key)
            return self._maps.get(key)

    def __contains__(self, key: bytes) -> bool:
        with self._lock:
            return key in self._maps

    def put(self, key: bytes, map_NN: NDArray[np.float32]) -> None:
        """Keeps a map; those not used for longest go."""
        with self._lock:
            old = self._maps.pop(key, None)
            self._bytes += map_NN.nbytes - (old.nbytes if old is not None else 0)
            self._maps[key] = map_NN
            self._shrink()

    def _shrink(self) -> None:
        while self._bytes > self._max_bytes:
            _, dropped = self._maps.popitem(last=False)
            self._bytes -= dropped.nbytes


class WrinkleJob(Protocol):
    """The part of `client.Job` that is needed here."""

    def poll(self) -> bool: ...

    def result(self) -> WrinklesReply: ...

    def cancel(self) -> None: ...


@dataclass(frozen=True)
class _Flight:
    """A request under way."""

    job: WrinkleJob
    inputs: WrinkleInputs


@dataclass(frozen=True)
class _Head:
    """What is known of one head; None where nothing is."""

    wanted: WrinkleInputs
    weights: str
    applied: bytes | None = None
    flight: _Flight | None = None
    error: str = ""
    pause_s: float = 0.0
    retry_at: float = 0.0


class LatestWins:
    """Keeps the maps of heads up with their sliders: one request in flight per head, newer inputs replace waiting ones.

    Answers to older inputs of the same wrinkles are given out too, because they are nearer to what is wanted than what
    is seen; answers to another detail code or weights are not. A backend that has died is asked again, with pauses
    that grow while it keeps failing.

    Args:
        submit: Sends a request; must not block.
        cache: Maps that are known.
        clock: Seconds, monotonic.

    A head is any number that stays its own while the file is open.
    """

    def __init__(
        self,
        submit: Callable[[DecodeWrinkles], WrinkleJob],
        cache: MapCache,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._submit, self._cache, self._clock = submit, cache, clock
        self._heads: dict[int, _Head] = {}

    def want(self, head: int, inputs: WrinkleInputs, weights: str) -> None:
        """Says what a head looks like now, and asks for its map at once if none is under way.

        Cheap; call it as often as anything may have changed.
        """
        known = self._heads.get(head)
        if known is None:
            self._heads[head] = _Head(inputs, weights)
        elif known.wanted.key != inputs.key or known.weights != weights:
            self._heads[head] = replace(known, wanted=inputs, weights=weights)
        self._send(head)

    def has_applied(self, head: int, inputs: WrinkleInputs, weights: str) -> None:
        """Says that a head shows the map of these inputs, which somebody else has seen to."""
        known = self._heads.get(head, _Head(inputs, weights))
        self._heads[head] = replace(known, wanted=inputs, weights=weights, applied=inputs.key, error="", pause_s=0.0)

    def invalidate(self) -> None:
        """Says that heads may show anything: what they want is given out again."""
        self._heads = {head: replace(known, applied=None) for head, known in self._heads.items()}

    def forget(self, head: int) -> None:
        """A head is gone; its request is given up."""
        known = self._heads.pop(head, None)
        if known is not None and known.flight is not None:
            known.flight.job.cancel()

    def clear(self) -> None:
        """All heads are gone."""
        for head in list(self._heads):
            self.forget(head)

    def is_behind(self, head: int) -> bool:
        """Whether a head does not show the map that it wants yet."""
        known = self._heads.get(head)
        return known is not None and known.applied != known.wanted.key

    def error(self, head: int) -> str:
        """Why a head's last request failed, or ""."""
        known = self._heads.get(head)
        return known.error if known is not None else ""

    @property
    def is_idle(self) -> bool:
        """Whether `step` has nothing to do."""
        return not any(known.flight or known.applied != known.wanted.key for known in self._heads.values())

    def step(self) -> list[tuple[int, NDArray[np.float32]]]:
        """Takes answers, sends what is wanted; gives the maps (top row first) to show now. Never blocks."""
        shown: list[tuple[int, NDArray[np.float32]]] = []
        for head in list(self._heads):
            map_NN = self._land(head)
            known = self._heads[head]
            if known.applied != known.wanted.key:
                cached = self._cache.get(known.wanted.key)
                if cached is not None:
                    self._heads[head] = replace(known, applied=known.wanted.key, error="")
                    map_NN = cached
                else:
                    self._send(head)
            if map_NN is not None:
                shown.append((head, map_NN))
        return shown

    def _send(self, head: int) -> None:
        """Asks for what a head wants, unless that is known, under way, or has failed just now."""
        known = self._heads[head]
        key = known.wanted.key
        if known.flight is None and known.applied != key and self._clock() >= known.retry_at and key not in self._cache:
            job = self._submit(known.wanted.request(known.weights))
            self._heads[head] = replace(known, flight=_Flight(job, known.wanted))

    def _land(self, head: int) -> NDArray[np.float32] | None:
        """Takes the answer of a head's request, if it is there; its map when it is to be shown."""
        known = self._heads[head]
        if known.flight is None or not known.flight.job.poll():
            return None
        asked = known.flight.inputs
        try:
            map_NN = known.flight.job.result().displacement
        except ClientError as error:
            # A backend that has died once is worth another try at once.
            pause_s = min(_LONGEST_PAUSE_S, 2 * known.pause_s) if known.pause_s else _FIRST_PAUSE_S
            now = self._clock()
            retry_at = now if isinstance(error, BackendDied) and not known.pause_s else now + pause_s
            self._heads[head] = replace(known, flight=None, error=str(error), pause_s=pause_s, retry_at=retry_at)
            return None
        self._cache.put(asked.key, map_NN)
        is_of_wanted = asked.wears_the_same(known.wanted)
        applied = asked.key if is_of_wanted else known.applied
        self._heads[head] = replace(known, flight=None, applied=applied, error="", pause_s=0.0, retry_at=0.0)
        return map_NN if is_of_wanted else None
