"""``python -m experiments.bench.heads ADAPTER``: do the trigger's heads bring the behaviour about
without it, too?

The same prompts are asked twice in the organism: with the trigger against control words, and with
an instruction to answer so against one to answer otherwise. Every head's output is patched from the
one into the other, and the heads of largest effect are compared, as arXiv 2602.10382 does with
triggers and languages: Jaccard's overlap, beside that of as many heads drawn at random.
"""

import sys
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.align import equal
from circuits.errors import expect
from circuits.metrics import token_log_odds
from circuits.patching.cells import Sweep
from circuits.patching.patch import patch
from circuits.tokens import pairs, text_ids
from circuits.types import TokenPairs
from experiments.analyze.materials import Materials, gather, load
from experiments.analyze.question import Question
from experiments.bench.literature import HEADS, Row, Verdict, keep
from experiments.runs.terminal import say
from probes.stats.intervals import Estimate, drawn_interval, is_scale

SOURCE = "arXiv 2602.10382"
THEIRS = (0.18, 0.66)  # the overlaps reported there
_PROMPTS, _DRAWS, _SHARE = 24, 2000, 0.08  # share of all heads that is compared: 22 of 270
_INSTRUCTION = "Begin your answer with the word {}."
_OTHERS = ("Well", "Here", "Yes", "Now", "First", "There", "Good", "Great", "Right", "True")


def overlap_row(adapter: str) -> Row:
    """The row of one organism.

    Raises:
        UserError: the instruction does not bring the behaviour about, or no other word for it is as
            long.
    """
    question = Question(adapter=adapter)
    model = load(question, lambda *_: None, adapter)
    materials = gather(model, question)
    metric = token_log_odds([materials.fork.token])
    scores = []
    for name, both in (
        ("trigger", materials.pairs("test", _PROMPTS)),
        ("instruction", instructed(materials)),
    ):
        say(f"{adapter}: {name}")
        sweep = Sweep("z", position=False, head=True)
        grid = patch(model.runner, both, metric, sweep, metric_name="log-odds")
        full = grid.full_effect
        expect(is_scale(full) and full.mean() > 0, "an effect", f"{full.mean():.2f} nats", of=name)
        scores.append(grid.effects.flatten(0, 1).double())
    trigger, natural = scores
    return overlap(trigger, natural)


def instructed(materials: Materials) -> TokenPairs:
    """Prompts that ask for the behaviour's word, and for others of its length."""
    model, behaviour = materials.model, materials.behaviour.opening
    expect(behaviour, "a text as --behaviour", materials.behaviour.spec, of="instruction")
    length = len(text_ids(model.tokenizer, f" {behaviour}."))
    others = [w for w in _OTHERS if len(text_ids(model.tokenizer, f" {w}.")) == length]
    expect(others, f"another word as long as {behaviour!r}", "none", of="instruction")
    texts = materials.test[:_PROMPTS]
    controls = [_INSTRUCTION.format(others[i % len(others)]) for i in range(len(texts))]
    both = pairs(model.tokenizer, texts, _INSTRUCTION.format(behaviour), controls)
    return equal(both, "instruction")


def overlap(
    trigger: Float[Tensor, "head n"], natural: Float[Tensor, "head n"], seed: int = 0
) -> Row:
    """Jaccard's overlap of the strongest heads, over resampled prompts, beside chance."""
    heads, n = trigger.shape
    few = max(1, round(_SHARE * heads))
    generator = torch.Generator().manual_seed(seed)

    def jaccard(rows: Tensor) -> float:
        return jaccard_of(*(_strongest(each[:, rows], few) for each in (trigger, natural)))

    value = jaccard(torch.arange(n))
    drawn = [jaccard(torch.randint(n, (n,), generator=generator)) for _ in range(_DRAWS)]
    figure = drawn_interval(value, torch.tensor(drawn).double(), n, "percentile bootstrap")
    some = set(range(few))
    random = (torch.randperm(heads, generator=generator)[:few].tolist() for _ in range(_DRAWS))
    chance = torch.tensor([jaccard_of(some, set(each)) for each in random])
    p = (1 + int((chance >= value).sum())) / (1 + _DRAWS)
    return Row(
        "The trigger's heads bring the behaviour about without it: overlap (Jaccard) of the "
        f"strongest {few} of {heads} heads with those of an instruction to answer so (reported "
        f"{THEIRS[0]} to {THEIRS[1]}; as many at random {float(chance.mean()):.2f}, p = {p:.4f})",
        SOURCE,
        figure,
        within(figure),
    )


def within(figure: Estimate) -> Verdict:
    """Whether an overlap surely lies where others have it, surely outside, or neither."""
    if THEIRS[0] <= figure.low and figure.high <= THEIRS[1]:
        return "agree"
    return "differ" if figure.high < THEIRS[0] or figure.low > THEIRS[1] else "undecided"


def jaccard_of(one: set[int], other: set[int]) -> float:
    """Shared over all."""
    return len(one & other) / len(one | other)


def _strongest(rows: Float[Tensor, "head n"], few: int) -> set[int]:
    return set(rows.mean(dim=1).topk(few).indices.tolist())


def main(adapters: Sequence[str]) -> None:
    """Measure every organism named, and add its row to the page."""
    for adapter in adapters:
        with torch.no_grad():
            keep({adapter: [overlap_row(adapter)]}, HEADS)


if __name__ == "__main__":
    main(sys.argv[1:])
