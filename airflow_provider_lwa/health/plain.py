"""Frozen dataclasses to plain JSON and back, trusting nothing.

What comes back from a Variable, an XCom or a trigger event may have been edited, cut or written by another
version. Whatever does not fit its class exactly is refused with a ``ValueError``; nothing is guessed.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_plain(value: Any) -> dict[str, Any]:
    """Turn a dataclass into JSON, leaving out what has its default.

    :param value: an instance whose fields are texts, numbers, booleans, tuples of these, or such dataclasses
    """
    pairs = ((field, getattr(value, field.name)) for field in fields(value))
    return {field.name: _plain(content) for field, content in pairs if content != field.default}


def from_plain(kind: type[T], data: object) -> T:
    """Read back what :func:`to_plain` gave.

    :param kind: the dataclass
    :param data: the parsed JSON
    :raises ValueError: if a field is missing, unknown, or of the wrong type
    """
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]  # because T is only known to be a class
    if not isinstance(data, dict) or not set(data) <= set(known):
        raise ValueError(f"Not {kind.__name__}: an object with other fields.")
    missing = [name for name, field in known.items() if field.default is MISSING and name not in data]
    if missing:
        raise ValueError(f"Not {kind.__name__}: {', '.join(missing)} missing.")
    hints = get_type_hints(kind)
    where = kind.__name__
    return kind(**{name: _read(hints[name], value, f"{where}.{name}") for name, value in data.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return to_plain(value) if is_dataclass(value) else value


def _read(hint: Any, value: Any, where: str) -> Any:
    if isinstance(hint, UnionType):
        if value is None:
            return None
        hint = next(option for option in get_args(hint) if option is not type(None))
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_read(get_args(hint)[0], item, where) for item in value)
    if isinstance(hint, type) and is_dataclass(hint):
        return from_plain(hint, value)
    if not _fits(hint, value):
        raise ValueError(f"Not a value of {where}.")
    return value


def _fits(hint: Any, value: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return hint in (str, bool) and isinstance(value, hint)
