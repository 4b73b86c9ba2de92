"""Records as JSON and tensors, and back, by their annotations.

A record is a frozen dataclass of numbers, texts, ``None``, ``Literal``, tuples, lists, dicts, other
records and tensors; a list, tuple or dict of such is one too. Its tensors (plain or jaxtyping's,
optional, in tuples and dicts) go under their path in the record, ``direction.vector`` or
``curves.triggered``, and are absent from the JSON. What is read is held to the annotations, shapes
included. A field that was added after a file was written has its default, one that was dropped is
ignored; one of ``_LATE`` is written only where it holds something, so that files are as they were.
A dict comes back in the order of its JSON, its tensors sorted by name after that.

Not supported: a union of two records (a field that says which is meant would have to stand in
both), numpy's scalars (but doubles, which are floats), and a dot in the name above a tensor.
"""

from collections.abc import Mapping
from types import UnionType
from typing import Any, TypeVar, cast

import msgspec
from torch import Tensor

from circuits.errors import UserError, reason

T = TypeVar("T")
Tensors = dict[str, Tensor]
_LATE = {"earlier"}  # of ``circuits.types.Direction``


def encode(record: Any) -> tuple[Any, Tensors]:
    """(the JSON value, the tensors by their path) of a record.

    Raises:
        TypeError: a value that JSON does not have.
    """
    tensors: Tensors = {}
    builtins = msgspec.to_builtins(record, builtin_types=(Tensor,), str_keys=True, enc_hook=_plain)
    if isinstance(builtins, Tensor):
        raise TypeError("expected a record with tensors, got a tensor; give it a name in a dict")
    return _without_tensors(builtins, (), tensors), tensors


def as_json(record: Any) -> Any:
    """The JSON value of a record that holds no tensors.

    Raises:
        TypeError: it holds some, or a value that JSON does not have.
    """
    value, tensors = encode(record)
    if tensors:
        raise TypeError(f"expected a record without tensors, got {sorted(tensors)}; use encode")
    return value


def decode(
    kind: type[T] | UnionType,
    value: Any,
    tensors: Mapping[str, Tensor] | None = None,
    where: str = "record",
) -> T:
    """The record of a kind that ``encode`` gave this value and these tensors.

    Args:
        where: what is being read, such as a file's path, for the error.

    Raises:
        UserError: value or tensors are not of this kind; says where, what was expected, what came.
    """
    parts = {tuple(path.split(".")): tensor for path, tensor in (tensors or {}).items()}
    try:
        whole = _with_tensors(value, parts, where)
        return msgspec.convert(whole, cast(type[T], kind), str_keys=True, dec_hook=_checked)
    except msgspec.ValidationError as error:
        raise UserError(_line(str(error), where)) from error
    except (TypeError, UserError):  # a kind that is not supported is no fault of the file
        raise
    except Exception as error:  # whatever the records themselves have to say
        named = getattr(kind, "__name__", "record")
        raise UserError(f"{where}: expected a {named}, got {reason(error)}; renew it") from error


def _line(message: str, where: str) -> str:
    """msgspec's words in the house's: where, the path, what was expected, what came."""
    words, _, path = message.partition(" - at `$")
    if words.startswith("Object missing required field"):
        words = words.replace("Object missing required", "expected a") + ", got none"
    words = words.replace("Invalid enum value", "expected a value of its Literal, got")
    place = ", ".join(filter(None, (where, path.strip("`."))))
    return f"{place}: {words[:1].lower()}{words[1:]}"


def _without_tensors(value: Any, path: tuple[str, ...], tensors: Tensors) -> Any:
    """The value with lists for tuples and without its tensors, which are put into ``tensors``."""
    if not isinstance(value, dict | list | tuple):
        return value
    named = isinstance(value, dict)
    kept = []
    for name, part in value.items() if named else enumerate(value):
        here = (*path, str(name))
        if name in _LATE and part in ((), []):
            continue
        if not isinstance(part, Tensor):
            kept.append((name, _without_tensors(part, here, tensors)))
        elif any("." in step for step in here):
            raise TypeError(f"expected names without a dot above a tensor, got {here}; rename it")
        else:
            tensors[".".join(here)] = part.detach().cpu().contiguous()
    return dict(kept) if named else [part for _, part in kept]


def _with_tensors(value: Any, tensors: Mapping[tuple[str, ...], Tensor], where: str) -> Any:
    """The value with its tensors in their places again."""
    if not tensors:
        return value
    inner: dict[str, dict[tuple[str, ...], Tensor]] = {}
    for (name, *rest), tensor in tensors.items():
        inner.setdefault(name, {})[tuple(rest)] = tensor
    if isinstance(value, dict):
        whole: Any = dict(value)
        for name in sorted(inner):
            if () not in inner[name]:
                whole[name] = _with_tensors(value.get(name), inner[name], where)
            elif name in value:
                raise UserError(f"{where}: expected {name!r} in JSON or as a tensor, got both")
            else:
                whole[name] = inner[name][()]
        return whole
    if isinstance(value, list | tuple) and all(name.isdecimal() for name in inner):
        whole = list(value)
        for place in sorted(map(int, inner)):
            parts = inner[str(place)]
            if () in parts:
                whole.insert(place, parts[()])
            elif place < len(whole):
                whole[place] = _with_tensors(whole[place], parts, where)
        return whole
    names = ", ".join(".".join(path) for path in tensors)
    raise UserError(f"{where}: expected a place for the tensors {names}, got none in its JSON")


def _plain(value: Any) -> float | str:
    """numpy's double, which is a float; a prompt, of which a result keeps the user's message."""
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"expected what JSON has, or tensors, got {type(value).__name__}")


def _checked(kind: type, value: Any) -> Any:
    """A leaf that only its annotation knows: a tensor of its kind and shape."""
    if isinstance(value, Tensor) and not isinstance(value, kind):
        got = f"a tensor {tuple(value.shape)} of {value.dtype}"
        raise ValueError(f"Expected `{getattr(kind, '__name__', kind)}`, got {got}")
    return value
