"""What can run on another machine, and functions in a form that can be sent there.

A function is sent as its source with the globals that it names. Shape annotations stay behind: they
are classes of a package that servers lack, and no part of what the function does.
"""

import inspect
from functools import partial
from pathlib import Path
from types import CellType, CodeType, FunctionType, SimpleNamespace
from typing import Any

from circuits.errors import expect
from circuits.runner import Window
from circuits.types import Edit

_INSTALLED = ("site-packages", "lib/python")  # as on the server, so a name is enough


def require_hub_id(hf_model: Any, name: str) -> None:
    """Refuse a model that no server can load: one without a hub id (UserError)."""
    hub = getattr(hf_model, "name_or_path", "")
    expect(
        hub and not Path(hub).exists(),
        "a hub id for remote runs",
        hub or "a model in memory",
        "run it locally",
        of=f"model {name}",
    )


def require_whole(window: Window, grow: bool) -> None:
    """Refuse what lives on this machine (UserError): only tokens, edits and points are sent."""
    asked = {
        "a past": window.past is not None,
        "residuals to resume from": window.resid is not None,
        "joining rows": bool(window.joining),
        "a past to be returned": grow,
    }
    got = [what for what, given in asked.items() if given]
    expect(not got, "a whole window", " and ".join(got), "run it locally", of="remote run")


def sendable(value: Any, done: dict[int, Any] | None = None) -> Any:
    """``value`` with every function in it copied without annotations or wrappers.

    Looks into lists, tuples, partial applications, edits, closures and named globals. Functions of
    installed packages are left as they are.
    """
    done = {} if done is None else done
    if type(value) in (list, tuple):
        return type(value)(sendable(item, done) for item in value)
    if isinstance(value, partial):
        keywords = {name: sendable(item, done) for name, item in value.keywords.items()}
        return partial(sendable(value.func, done), *sendable(value.args, done), **keywords)
    if isinstance(value, Edit):
        fields = {name: getattr(value, name) for name in ("columns", "onward")}
        point = SimpleNamespace(layer=value.point.layer, stream=value.point.stream)
        return SimpleNamespace(point=point, apply=sendable(value.apply, done), **fields)
    if isinstance(value, FunctionType):
        return _bare(value, done)
    return value


def _bare(function: FunctionType, done: dict[int, Any]) -> Any:
    inner: Any = inspect.unwrap(function)
    if any(part in inner.__code__.co_filename for part in _INSTALLED):
        return function
    if id(inner) not in done:
        known: dict[str, Any] = {}
        cells = tuple(CellType() for _ in inner.__code__.co_freevars)
        copy = FunctionType(inner.__code__, known, inner.__name__, None, cells)
        done[id(inner)] = copy  # before what it names: functions may name each other
        copy.__module__ = inner.__module__
        copy.__defaults__ = sendable(inner.__defaults__, done)
        copy.__kwdefaults__ = inner.__kwdefaults__
        for name in _names(inner.__code__) & inner.__globals__.keys():
            known[name] = sendable(inner.__globals__[name], done)
        for cell, held in zip(cells, inner.__closure__ or (), strict=True):
            cell.cell_contents = sendable(held.cell_contents, done)
    return done[id(inner)]


def _names(code: CodeType) -> set[str]:
    """The names that a function's code, and that of functions within it, looks up."""
    inner = (c for c in code.co_consts if isinstance(c, CodeType))
    return set(code.co_names).union(*map(_names, inner))
