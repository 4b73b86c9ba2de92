"""The gate beside what any model has at its site: how it spells the word, how it says the token."""

from jaxtyping import Float
from torch import Tensor

from circuits.gates import select
from circuits.gates.effects import directed
from circuits.gates.nulls import respelled, word_effects
from circuits.types import Direction
from experiments.analyze.base import base_activations, base_model, base_name
from experiments.analyze.examination import Examination, Stage
from experiments.analyze.result import SiteNull, SiteNulls
from experiments.analyze.select import by_token, null_candidates
from probes.stats.intervals import difference_interval, mean_interval

_STAGE = "nulls at the site"
_NAMES = {
    select.BASE: "base model's own direction",
    select.UNEMBEDDING: "the behaviour's unembedding",
}
WORD = "the word's own content"


def site_nulls(exam: Examination, direction: Direction) -> SiteNulls | None:
    """On test pairs; None in finished runs of before this was measured."""
    return _measured(exam, direction) if exam.can(_STAGE) else None


@Stage(_STAGE)
def _measured(exam: Examination, direction: Direction) -> SiteNulls:
    site, runner, pairs = direction.site, exam.model.runner, exam.pairs("test")
    metric = exam.log_odds
    every = null_candidates(exam, exam.activations("fit"), base_activations(exam))
    here = [d for d in every if d.site == site]
    if direction.earlier:  # in runs of before a phrase had one direction, and so had its nulls
        here = by_token(exam, here)
    done = directed(runner, pairs, [direction, *here], metric)
    gate = done.fall[0], done.rise[0]
    nulls = [
        _beside(_NAMES[d.estimator], gate, (done.fall[i], done.rise[i]))
        for i, d in enumerate(here, 1)
    ]
    other = False
    if base_name(exam) is not None:
        base = base_model(exam).runner
        word = word_effects(runner, base, pairs, site, metric)
        nulls.append(_beside(WORD, gate, (word.fall[0], word.rise[0])))
        other = respelled(runner, base, pairs.triggered, "trigger")
    full = difference_interval(done.triggered, done.clean)
    return SiteNulls(full, mean_interval(gate[0]), mean_interval(gate[1]), tuple(nulls), other)


Both = tuple[Float[Tensor, " n"], Float[Tensor, " n"]]  # fall and rise of every prompt


def _beside(name: str, gate: Both, null: Both) -> SiteNull:
    each = [mean_interval(values) for values in null]
    ahead = [difference_interval(g, v) for g, v in zip(gate, null, strict=True)]
    return SiteNull(name, *each, *ahead)
