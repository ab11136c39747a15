"""Typed messages <-> frames, driven by the type hints of the message's fields.

Arrays travel under the dotted path of their field (`faces.0.texture`), everything else as JSON in `params`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from .codec import Frame
from .messages import MESSAGES, Message, MessageError


def pack(message: Message, id: int) -> Frame:
    """The frame that carries a message for request `id`."""
    arrays: dict[str, NDArray] = {}
    return Frame(id, type(message).__name__, _pack(message, "", arrays), arrays)


def unpack(frame: Frame) -> Message:
    """The message that a frame carries.

    Raises:
        MessageError: No such message, or its fields are missing, unknown, or of the wrong type, dtype or shape.
    """
    cls = MESSAGES.get(frame.method)
    if cls is None:
        raise MessageError(f"There is no message {frame.method[:80]!r}.")
    arrays = dict(frame.arrays)
    message = _unpack(cls, frame.params, frame.method, "", arrays)
    if arrays:
        raise MessageError(f"{frame.method} has no array {next(iter(arrays))[:80]!r}.")
    return message


def _pack(value: Any, path: str, arrays: dict[str, NDArray]) -> Any:
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return None
    if is_dataclass(value):
        return {f.name: _pack(getattr(value, f.name), _join(path, f.name), arrays) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: _pack(item, _join(path, key), arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(item, _join(path, str(k)), arrays) for k, item in enumerate(value)]
    return value.item() if isinstance(value, np.generic) else value


def _unpack(hint: Any, value: Any, where: str, path: str, arrays: dict[str, NDArray]) -> Any:
    """The value of type `hint` from JSON `value` and the arrays at or below `path`, which are taken out of `arrays`.

    `where` names the field in error messages.
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType) and NoneType in args:
        if value is None and path not in arrays:
            return None
        (hint,) = (arg for arg in args if arg is not NoneType)
        return _unpack(hint, value, where, path, arrays)
    if origin is Annotated or hint is np.ndarray:  # only arrays are annotated (`messages.Array`)
        if value is not None or path not in arrays:
            raise MessageError(f"{where} lacks its array.")
        return arrays.pop(path)
    if is_dataclass(hint) and isinstance(value, dict):
        return _unpack_fields(hint, value, where, path, arrays)
    if origin is dict and isinstance(value, dict):
        return {key: _unpack(args[1], item, f"{where}.{key}", _join(path, key), arrays) for key, item in value.items()}
    if origin is tuple and isinstance(value, list):
        kinds = [args[0]] * len(value) if args[1:] == (...,) else args
        if len(kinds) == len(value):
            return tuple(
                _unpack(kind, item, f"{where}.{k}", _join(path, str(k)), arrays)
                for k, (kind, item) in enumerate(zip(kinds, value, strict=True))
            )
    if hint is float and type(value) is int and abs(value) < 1 << 53:
        return float(value)
    if hint in (str, int, float, bool) and type(value) is hint:
        return value
    raise MessageError(f"{where} is {_short(value)}, not {getattr(hint, '__name__', hint)}.")


def _unpack_fields(cls: Any, value: dict[str, Any], where: str, path: str, arrays: dict[str, NDArray]) -> Any:
    hints, known = _field_hints(cls), {f.name: f for f in fields(cls)}
    for name in value:
        if name not in known:
            raise MessageError(f"{where} has no field {_short(name)}.")
    for name, f in known.items():
        if name not in value and f.default is MISSING and f.default_factory is MISSING:
            raise MessageError(f"{where} lacks the field {name!r}.")
    return cls(
        **{
            name: _unpack(hints[name], item, f"{where}.{name}", _join(path, name), arrays)
            for name, item in value.items()
        }
    )


@cache
def _field_hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
