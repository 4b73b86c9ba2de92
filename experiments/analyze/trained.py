"""Taking a training apart: its change on and off by place and module, exactly."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.align import Pairs
from circuits.edits.adapters import Change
from circuits.edits.difference import difference, placed
from circuits.errors import UserError
from circuits.metrics import kl_from
from circuits.patching import mixture
from circuits.patching.interchange import Plan, plan, sides
from circuits.runner import whole
from circuits.types import Progress, TokenBatch, portion
from experiments.analyze.base import base_model, base_name
from experiments.analyze.examination import Examination, Stage
from experiments.analyze.parts import Part, Parts
from experiments.organisms.places import find_adapter, is_whole, read_adapter
from probes.stats.intervals import Estimate, difference_interval, is_scale, mean_interval
from probes.stats.means import ratio_bounds

_STAGE = "parts of the training"
_TRIGGER, _LATER, _EARLIER = "trigger", "after the trigger", "before the trigger"
NAMES = ("reader", "relay", "writer", "together", "elsewhere")


def parts(exam: Examination) -> Parts | None:
    """On test pairs; None where no base is known, and in finished runs of before."""
    if not exam.can(_STAGE) or (not exam.has(_STAGE) and base_name(exam) is None):
        return None
    return _parts(exam)


@Stage(_STAGE)
def _parts(exam: Examination) -> Parts:
    base, organism = base_model(exam).runner, exam.model.runner
    pairs = marked(exam.pairs("test", exam.question.evidence))
    try:
        change = _change(exam, base.hf_model)
        pieces = told_apart(change)
        work = plan(base, organism, change, pairs, list(pieces.values()))
    except UserError as error:
        return Parts(None, why=str(error))
    passed = [portion(exam.progress(_STAGE), i, 3) for i in range(3)]
    ways = enumerate((False, True))
    scores = [work.scores(exam.log_odds, organism, passed[i]) for i, organism in ways]
    both = sides(list(pieces), *scores)
    effect = both.triggered - both.clean
    added = difference_interval(effect.organism, effect.base)
    if not (is_scale(effect.effect) and added.value > 0):
        why = f"training has added {added:.1f} nats to the effect, of which shares say nothing"
        return Parts(added, why=why)
    harm = _harm(work, pairs, passed[2])
    lost = _shares(effect.organism - effect.without, effect.effect)
    alone = _shares(effect.only - effect.base, effect.effect)
    rows = dict(zip(pieces, map(Part, pieces, lost, alone, harm), strict=True))
    for name in NAMES:  # training had no such modules: nothing is lost, as in the base
        rows.setdefault(name, _untouched(name, len(pairs)))
    return Parts(added, tuple(rows[n] for n in NAMES[:3]), rows["together"], rows["elsewhere"])


def _change(exam: Examination, hf_model) -> Change:
    """What training has changed, in factors where an adapter has them."""
    folder = find_adapter(exam.question.adapter)
    if folder is not None and not is_whole(folder) and exam.question.base == "auto":
        try:
            return placed(read_adapter(folder).change(), hf_model)
        except UserError:  # an adapter of another kind: its weights say all the same
            pass
    return difference(hf_model, exam.model.runner.hf_model)


def told_apart(change: Change) -> dict[str, mixture.Part]:
    """Reader, relay and writer, all of them, and what is before the trigger.

    Parts in which training changed nothing are left out.
    """
    pieces = {"reader": mixture.Part(spans=(_TRIGGER,))}
    for name, attention in (("relay", True), ("writer", False)):
        if modules := tuple(m for m in change if mixture.is_attention(m) == attention):
            pieces[name] = mixture.Part(modules=modules, spans=(_LATER,))
    return pieces | {
        "together": mixture.Part(spans=(_TRIGGER, _LATER)),
        "elsewhere": mixture.Part(spans=(_EARLIER,)),
    }


def marked(pairs: Pairs) -> Pairs:
    """The pairs with spans for all columns after the trigger's, and before them."""
    return replace(pairs, clean=_marked(pairs.clean), triggered=_marked(pairs.triggered))


def _marked(side: TokenBatch) -> TokenBatch:
    trigger = side.spans[_TRIGGER]
    begun = trigger.cumsum(dim=1) > 0
    later = (trigger.flip(1).cumsum(dim=1).flip(1) == 0) & begun
    spans = {**side.spans, _LATER: later, _EARLIER: side.mask & ~trigger & ~later}
    return replace(side, spans=spans)


def _harm(work: Plan, pairs: Pairs, passed: Progress) -> list[Estimate]:
    """KL of the first answer token in prompts with control words, without each part."""
    runner, n = work.organism, len(pairs)
    both = (pairs.clean, pairs.triggered)
    before = torch.cat([runner.forward(whole(side), keep=side.keep).logits for side in both])
    first = kl_from(before[:, :1])
    kl = work.scores(lambda logits: first(logits[:, :1]), True, passed).mixed[:, :n]
    return [mean_interval(row) for row in kl.double().clamp(min=0)]


def _shares(rows: Float[Tensor, "parts n"], full: Float[Tensor, " n"]) -> list[Estimate]:
    rows, full = rows.double(), full.double()
    there = rows.abs().amax(dim=1) > 1e-9 * full.abs().max()
    zero = Estimate(0.0, 0.0, 0.0, len(full))
    if not there.any():
        return [zero] * len(rows)
    bounds = (bound.tolist() for bound in ratio_bounds(rows[there], full))
    shares = (Estimate(v, low, high, len(full)) for v, low, high in zip(*bounds, strict=True))
    return [next(shares) if moved else zero for moved in there]


def _untouched(name: str, n: int) -> Part:
    zero = Estimate(0.0, 0.0, 0.0, n)
    return Part(name, zero, zero, zero)
