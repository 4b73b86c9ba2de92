"""Records of any type, drawn at random by their annotations, and whether two are the same."""

import importlib
import pkgutil
import random
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

import circuits
import experiments
import probes
from circuits.types import Direction, Site
from probes.stats.intervals import Estimate

_PLAIN = {
    float: lambda rng: rng.choice([rng.gauss(0, 1), 1e-9, -3.0, 1e300]),
    int: lambda rng: rng.randint(0, 99),
    bool: lambda rng: rng.random() < 0.5,
    str: lambda rng: rng.choice(["", "a b", 'é"\n', "none", "\ud800"]),
    type(None): lambda rng: None,
    Any: lambda rng: rng.choice([None, "x", 7, [1.5, "y"], {"z": True}]),
}


class NoRecordError(Exception):
    """A type that holds what no file can."""


def record_types() -> list[type]:
    """Every public dataclass that is made of numbers, texts, tensors and such dataclasses."""
    found = {}
    for package in (circuits, probes, experiments):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for name, value in vars(importlib.import_module(module.name)).items():
                here = isinstance(value, type) and value.__module__ == module.name
                if here and is_dataclass(value) and not name.startswith("_"):
                    found[f"{module.name}.{name}"] = value
    return [kind for _, kind in sorted(found.items()) if _holds_data(kind, ())]


def _holds_data(kind: Any, above: tuple[Any, ...]) -> bool:
    """Whether all its parts can be in a file. Unions of records cannot: see the codec."""
    if kind in _PLAIN or kind in above or _is_tensor(kind):
        return True
    if is_dataclass(kind):
        try:
            inner = _hints(kind)
        except NameError:  # of a type that only the type checker imports, such as a page
            return False
        return all(_holds_data(inner[f.name], (*above, kind)) for f in fields(kind))
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        rich = [p for p in parts if is_dataclass(p) or _is_tensor(p)]
        plain = all(p in _PLAIN or get_origin(p) is Literal for p in parts if p not in rich)
        one = len(rich) == 0 or (len(rich) == 1 and set(parts) <= {*rich, type(None)})
        nested = len(parts) == 2 and type(None) in parts
        return all(_holds_data(p, above) for p in parts) and (nested or (plain and one))
    if origin in (dict, Mapping) and (is_dataclass(parts[0]) or get_origin(parts[0]) is tuple):
        return False  # no name of an entry in a file
    return origin is Literal or (
        origin in (tuple, list, dict, Mapping, Sequence)
        and all(_holds_data(p, above) for p in parts if p is not ...)
    )


def _is_tensor(kind: Any) -> bool:
    return isinstance(kind, type) and (issubclass(kind, Tensor) or hasattr(kind, "dim_str"))


def draw(kind: Any, rng: random.Random) -> Any:
    """A value of a type, its sizes small.

    Raises:
        NoRecordError: the type's own rules refuse what is drawn.
    """
    if kind in _PLAIN:
        return _PLAIN[kind](rng)
    if kind is Estimate:
        low, value, high = sorted(rng.gauss(0, 1) for _ in range(3))
        return Estimate(
            value, low, high, rng.randint(1, 99), 0.95, rng.choice(["", "Wilson score"])
        )
    if kind is Direction:
        vector = torch.nn.functional.normalize(torch.randn(4), dim=0)
        return Direction(draw(Site, rng), vector, "mean", rng.gauss(0, 1), rng.gauss(0, 1))
    if _is_tensor(kind):
        return _tensor(kind, rng)
    if is_dataclass(kind):
        return _record(kind, rng)
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return rng.choice(parts)
    if origin in (Union, types.UnionType):
        return draw(rng.choice(parts), rng)
    count = rng.randint(0, 3)
    if origin in (dict, Mapping):
        return {draw_key(parts[0], i): draw(parts[1], rng) for i in range(count)}
    if origin is tuple and parts[-1:] != (...,):
        return tuple(draw(part, rng) for part in parts)
    listed = [draw(parts[0], rng) for _ in range(count)]
    return tuple(listed) if origin is tuple else listed


def draw_key(kind: Any, number: int) -> Any:
    """Keys of a dict, each another; names may have spaces, and no dots above tensors."""
    return (
        get_args(kind)[number % len(get_args(kind))]
        if get_origin(kind) is Literal
        else kind(f"a {number}" if kind is str else number)
    )


def _record(kind: Any, rng: random.Random) -> Any:
    """By the annotations alone; where the record's own rules refuse that, with its defaults."""
    hints = _hints(kind)
    needed = [f for f in fields(kind) if f.init and MISSING is f.default is f.default_factory]
    for names in (*[[f for f in fields(kind) if f.init]] * 40, *[needed] * 40):
        try:
            return kind(**{f.name: draw(hints[f.name], rng) for f in names})
        except ValueError:
            continue
    raise NoRecordError(kind)


_hints = cache(get_type_hints)


def _tensor(kind: Any, rng: random.Random) -> Tensor:
    """One that the annotation takes; axes of one name have one size everywhere."""
    names = getattr(kind, "dim_str", "n").split()
    shape = [int(name) if name.isdecimal() else 2 + len(name) % 3 for name in names]
    values = torch.randn(shape, generator=torch.Generator().manual_seed(rng.randint(0, 999)))
    for tensor in (values, values.long(), values > 0):
        if isinstance(tensor, kind):
            return tensor
    raise NoRecordError(kind)


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal in type and value, tensors to the bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        alike = a.dtype == b.dtype and a.shape == b.shape
        return alike and torch.equal(
            a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8)
        )
    if is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of a JSON value's numbers, texts and nulls."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for name, part in pairs:
            yield from leaves(part, (*path, name))
    else:
        yield path
