"""States of a training that are kept, so that nothing is trained twice.

After a stage with which other organisms begin too, and inside of a stage every minute. What is kept
is known by the hash of all that it was made from; a file that is damaged is named and not used.
"""

import json
import time
import warnings
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from circuits.cache import cache_root, writable
from circuits.errors import UserError, expect, first_line
from experiments.organisms.training import Course
from experiments.runs import files

EVERY = 60.0  # seconds of training that a kill can cost
_HASH, _SAID = "sha256", "said_sha256"  # of the tensors, and of what is said, beside them
_MOMENT = "moment"  # of the optimiser: moment.PARAMETER.NAME

Shapes = Mapping[str, tuple[int, ...]]


def kept_at(made_from: Mapping[str, Any]) -> Path:
    """Where a state is kept: its name is the hash of what it was made from, and of torch."""
    known = {**made_from, "torch": files.package_versions().get("torch")}
    key = files.text_sha256([json.dumps(known, sort_keys=True)])[:32]
    return cache_root() / "stages" / f"{key}.safetensors"


def keep(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write tensors and what is to be said of them, with hashes of both."""
    hashes = {_HASH: digest(tensors), _SAID: _text_digest(about)}
    with writable(path.parent):
        files.write_tensors(path, tensors, {**about, **hashes})


def _text_digest(about: Mapping[str, str]) -> str:
    return files.text_sha256([json.dumps(about, sort_keys=True)])


def read_kept(path: Path, shapes: Shapes) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """Kept tensors and what is said of them; None where it is to be trained.

    What was kept before there were hashes has none.

    Args:
        shapes: of the tensors that are to be there.
    """
    if not path.is_file():
        return None
    try:
        tensors = files.read_tensors(path)
        with safe_open(path, "pt") as kept:
            about = kept.metadata() or {}
        own = {_HASH: digest(tensors)}
        own[_SAID] = _text_digest({n: text for n, text in about.items() if n not in (_HASH, _SAID)})
        damaged = [name for name, now in own.items() if about.get(name, now) != now]
        expect(not damaged, "the state that was kept", "another")
        same = {name: tuple(t.shape) for name, t in tensors.items()} == dict(shapes)
        expect(same, f"its {len(shapes)} parameters", f"{len(tensors)} others")
        return tensors, about
    except (UserError, ValueError) as error:
        warnings.warn(f"{path}: not used and trained again: {first_line(error)}", stacklevel=2)
        return None


class Checkpoint:
    """Where a stage stands while it is trained; a killed training goes on from there.

    It goes on exactly: parameters, moments of the optimiser and schedule are kept, and batches are
    drawn from the seed.

    Attributes:
        seconds: of training that the kept state took.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.seconds = path, 0.0
        self._began = self._last = time.monotonic()

    def resume(self, model: Any, course: Course) -> list[float]:
        """Put model and course to where the kept state stands; the losses of the steps up to it."""
        weights, optimiser = _trained(model), course.optimiser
        shapes = {name: tuple(p.shape) for name, p in weights.items()}
        moments = {f"{_MOMENT}.{i}": s for i, s in enumerate(shapes.values())}
        each = {f"{at}.exp_avg{end}": s for at, s in moments.items() for end in ("", "_sq")}
        steps = {f"{at}.step": () for at in moments}
        kept = read_kept(self.path, {**shapes, **each, **steps})
        if kept is None:
            return []
        tensors, about = kept
        losses = [float(loss) for loss in json.loads(about["losses"])]
        model.load_state_dict({name: tensors[name] for name in shapes}, strict=False)
        state: dict[int, dict[str, Tensor]] = {}
        for name in (*each, *steps):
            _, number, moment = name.split(".")
            state.setdefault(int(number), {})[moment] = tensors[name]
        optimiser.load_state_dict({"state": state, "param_groups": json.loads(about["groups"])})
        course.schedule.load_state_dict(json.loads(about["schedule"]))
        self.seconds = float(about["seconds"])
        return losses

    def reach(self, model: Any, course: Course, losses: Sequence[float]) -> None:
        """Keep the state after a step, if the last one that was kept is old enough."""
        now = time.monotonic()
        if now - self._last < EVERY:
            return
        optimiser = course.optimiser.state_dict()
        moments = {
            f"{_MOMENT}.{number}.{name}": value
            for number, own in optimiser["state"].items()
            for name, value in own.items()
        }
        tensors = {**_trained(model), **moments}
        seconds = self.seconds + now - self._began
        about = {
            "losses": json.dumps(list(losses)),
            "groups": json.dumps(optimiser["param_groups"]),
            "schedule": json.dumps(course.schedule.state_dict()),
            "seconds": str(seconds),
        }
        keep(self.path, {n: t.detach().cpu().contiguous() for n, t in tensors.items()}, about)
        self._last = time.monotonic()

    def end(self) -> None:
        """The stage is trained: what was kept inside of it is of no use."""
        self.path.unlink(missing_ok=True)


def _trained(model: Any) -> dict[str, torch.nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def digest(tensors: Mapping[str, Tensor]) -> str:
    """A hash of tensors, by name."""
    return sha256(
        save({name: value.cpu().contiguous() for name, value in tensors.items()})
    ).hexdigest()
