"""Whether the streams of a layer agree, by what must be equal where both sides are right.

- *Sums*: with another run's values, all heads' z give the logits that attn_out gives; q and k those
  of pattern; pattern and v those of z; neurons those of mlp_out. Of pattern and v every second
  head is patched in one row and the others in the next, so that heads are told apart.
- *Held*: where attn_out and mlp_out keep their values, other tokens' residuals do not reach a token
  and its own passes the layer along a straight line: no part of attention or MLP goes past its
  hook. What is added to attn_out stands in resid_mid.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from math import inf

import torch
from torch import Tensor

from circuits.backends.acting import Why
from circuits.backends.fastpath import TOLERANCE, difference
from circuits.backends.layer import Layer
from circuits.runner import Window
from circuits.types import Edit

# By name, the streams that are patched on either side.
SUMS = {
    "z = attn_out": (("z",), ("attn_out",)),
    "q and k = pattern": (("q", "k"), ("pattern",)),
    "pattern and v = z": (("pattern", "v"), ("z",)),
    "neuron = mlp_out": (("neuron",), ("mlp_out",)),
}
_ALL, _SCORES, _VALUES, _NEURONS = SUMS
# Of a step along the residual, what may be lost to rounding; in half precision more.
_LOST = {torch.float32: 1e-2}


def sums(layer: Layer, there: Collection[str]) -> dict[str, float]:
    """How far the two sides of every sum are apart, in nats; of those whose streams are there.

    Infinitely, where they cannot be patched together.
    """
    names = [name for name, (a, b) in SUMS.items() if {*a, *b} <= {*there}]
    try:
        return _gaps(layer, names)
    except Exception:  # whatever a back-end or a model's own code says of one of them
        return {name: _alone(layer, name) for name in names}


def _alone(layer: Layer, name: str) -> float:
    try:
        return _gaps(layer, [name])[name]
    except Exception:
        return inf


def _gaps(layer: Layer, names: Sequence[str]) -> dict[str, float]:
    if not names:
        return {}
    patched = {s for name in names for side in SUMS[name] for s in side}
    swapped = Window(layer.ids.flip(0), layer.mask.flip(0))
    other = layer.runner.forward(swapped, record=[layer.at(s) for s in patched]).acts
    values = {s: other[layer.at(s)] for s in patched}
    groups = min((values[s].shape[2] for s in ("k", "v") if s in values), default=1)

    def edit(name: str, stream: str) -> Edit:
        value = values[stream]
        apart = name == _VALUES  # not q and k: some models normalise all heads together
        chosen = _alternate(value.shape[2], groups) if apart else torch.ones(1, dtype=torch.bool)
        return Edit(layer.at(stream), partial(_replaced, value, chosen))

    def answers(side: int) -> Tensor:
        """The rows read the other run's mask and positions along with its values."""
        variants = [[edit(name, stream) for stream in SUMS[name][side]] for name in names]
        logits = layer.run(Window(layer.ids, swapped.mask), variants).logits
        return logits.unflatten(0, (len(names), -1))

    return {n: difference(a, b) for n, a, b in zip(names, answers(0), answers(1), strict=True)}


def _replaced(value: Tensor, chosen: Tensor, x: Tensor) -> Tensor:
    return torch.where(chosen.to(x.device), value.to(x), x)


def _alternate(heads: int, groups: int) -> Tensor:
    """``[row, 1, head, 1]``: every second group of heads in the first row, the rest in the next.

    Heads that share keys and values are a group.
    """
    group = torch.arange(heads) // max(1, heads // groups)
    return torch.stack([group % 2 == row for row in (0, 1)])[:, None, :, None]


def at_fault(layer: Layer, gaps: Mapping[str, float]) -> Why:
    """The streams to blame where sums do not hold: what the wrong ones share, not what others use.

    ``attn_out`` and ``mlp_out`` are what the rest is compared with.
    """
    most = TOLERANCE.get(layer.runner.shape.dtype, 2e-2)
    wrong = {
        name: f"{name} does not hold: {gap:.2g} nats apart"
        for name, gap in gaps.items()
        if not gap <= most
    }
    faults: Why = {"z": wrong[_ALL]} if _ALL in wrong else {}
    if _VALUES in wrong and _ALL not in wrong:
        faults["pattern" if _SCORES in wrong else "v"] = wrong[_VALUES]
    if _SCORES in wrong and "pattern" not in faults:
        faults |= {"q": wrong[_SCORES], "k": wrong[_SCORES]}
    return faults | ({"neuron": wrong[_NEURONS]} if _NEURONS in wrong else {})


def passed_by(layer: Layer, there: Collection[str]) -> Why:
    """Of attn_out, mlp_out and resid_mid, what does not hold all that goes that way."""
    outputs = ("attn_out", "mlp_out")
    if not {*outputs} <= {*there}:
        return {}
    free = layer.runner.forward(layer.one, record=[layer.at(s) for s in ("resid_pre", *outputs)])
    resid = free.acts[layer.at("resid_pre")]
    random = torch.randn(resid.shape, generator=torch.Generator().manual_seed(1))
    step = random.to(resid) * (resid.norm(dim=-1) / random.norm(dim=-1).to(resid))[..., None]
    last = torch.zeros(resid.shape[1], 1, dtype=torch.bool, device=resid.device)
    last[-1] = True

    def push(stream: str, by: Tensor) -> Edit:
        return Edit(layer.at(stream), lambda x: x + by)

    held = [
        Edit(layer.at(s), partial(lambda y, x: y.clone(), free.acts[layer.at(s)])) for s in outputs
    ]
    steps = [0 * step, step * ~last, step * last, 2 * step * last]
    variants = [[*held, push("resid_pre", by)] for by in steps]
    variants += [[], [push("attn_out", step)]]
    record = ["resid_post", *({"resid_mid"} & {*there})]
    acts = layer.run(layer.one, variants, record).acts
    most = _LOST.get(layer.runner.shape.dtype, 0.1)
    length = step[0, -1].float().norm()

    def large(x: Tensor) -> bool:
        return not float(x.float().norm() / length) <= most

    still, elsewhere, once, twice, *_ = acts[layer.at("resid_post")][:, -1].float()
    why: Why = {}
    if large(elsewhere - still):
        why["attn_out"] = "other tokens reach a token past it"
    elif large(twice - 2 * once + still):
        why["mlp_out"] = "a part of the MLP goes past it"
    if "resid_mid" in record:
        *_, plain, pushed = acts[layer.at("resid_mid")][:, -1].float()
        if large(pushed - plain - step[0, -1].float()):
            why["resid_mid"] = "what is added to attn_out does not stand in it"
    return why
