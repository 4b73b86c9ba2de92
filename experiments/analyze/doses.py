"""Dosing: log-odds against the dose of the direction, beside curves of what is no switch.

The nulls are dosed in prompts with control words, as the gate is: directions of words that were
never a trigger, at the gate's site and pushed as far as the gate (of a phrase token by token), and
the unembedding of the scored token before the last layer, pushed until it moves the log-odds as far
as the gate does.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.align import Pairs
from circuits.backends.transformer_lens import TLRunner
from circuits.errors import UserError
from circuits.gates import effects, phrase
from circuits.gates.nulls import unembedding_direction
from circuits.types import SAID, Direction, Site
from experiments.analyze.examination import Examination
from experiments.analyze.untrained import word_directions

CLEAN = "control word"
READ_OUT = "linear read-out"
_WORDS = 3  # untrained words that are dosed
_FEW = 8  # prompts on which the unembedding is taken
Curves = dict[str, Float[Tensor, "c n"]]


def null_curves(
    exam: Examination,
    direction: Direction,
    pairs: Pairs,
    doses: Float[Tensor, " c"],
    gate: Float[Tensor, "c n"],
) -> Curves:
    """Log-odds by dose of every null, by name; ``gate`` is the gate's in the same prompts."""
    nulls = dict(_words(exam, direction))
    if isinstance(exam.model.runner, TLRunner):
        rise = float(gate[doses == 1].mean() - gate[doses == 0].mean())
        nulls[READ_OUT] = _read_out(exam, pairs, rise)
    return {name: dosed(exam, pairs, null, doses) for name, null in nulls.items()}


def _words(exam: Examination, direction: Direction) -> Iterator[tuple[str, Direction]]:
    """Untrained words' own directions, the dose's unit the gate's gap."""
    materials = exam.materials
    words = materials.test_words[:_WORDS]
    if not words:
        return
    try:
        own = word_directions(
            materials.scored,
            materials.fit,
            words,
            materials.fit_words,
            direction.site,
            count=len(direction.steps),
        )
    except UserError:  # a word makes no difference there, so its direction is none
        return
    for word, each in zip(words, own, strict=True):
        both = zip(each.steps, direction.steps, strict=True)
        pushed = [replace(w, triggered_mean=w.clean_mean + d.gap, earlier=()) for w, d in both]
        yield f"untrained word {word!r}", phrase.joined(pushed)


def _read_out(exam: Examination, pairs: Pairs, rise: float) -> Direction:
    """The scored token's unembedding, with the gap that moves the log-odds by ``rise``.

    Where none does, because the final norm lets no component grow without end, the largest tried.
    """
    runner, layer = exam.model.runner, exam.model.runner.shape.n_layers - 1
    site, metric = Site(layer, "resid_pre", SAID if exam.fork.more else "last"), exam.log_odds
    vector = unembedding_direction(runner, exam.pairs("fit", _FEW).clean, metric)
    acts = exam.activations_at(replace(site, span="last"))
    size, start = float(acts["clean"].norm(dim=1).mean()), float((acts["clean"] @ vector).mean())
    unit = Direction(site, vector, READ_OUT, start, start + size)
    sizes = torch.linspace(0, 2, 65)
    moved = effects.transfer(runner, pairs, unit, metric, sizes).mean(dim=1)
    enough = (moved - moved[0] >= rise).nonzero()
    share = float(sizes[enough[0, 0]]) if len(enough) else float(sizes[moved.argmax()])
    return replace(unit, triggered_mean=unit.clean_mean + max(share, float(sizes[1])) * size)


def dosed(
    exam: Examination,
    pairs: Pairs,
    direction: Direction,
    doses: Float[Tensor, " c"],
    side: effects.Side = "clean",
) -> Float[Tensor, "c n"]:
    """Log-odds of the scored token by dose of a direction."""
    metric, runner = exam.log_odds, exam.model.runner
    return effects.transfer(runner, pairs, direction, metric, doses, side)
