"""``gatescope bench gate``: the whole gate search, and its scoring against a plain loop.

The loop is what one would write first: three full forward passes per candidate over all prompts,
with one hook. A stated sample of the candidates that the search scored on all prompts is run that
way and scaled to all candidates; the scores are compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from circuits.align import equal
from circuits.edits import operators
from circuits.gates import screen, select
from circuits.gates.select import Candidate
from circuits.metrics import kl_per_position, token_prob
from circuits.models import Model
from circuits.record import record
from circuits.runner import Runner, whole
from circuits.types import Direction, Edit, Metric, TokenPairs
from experiments import checks
from experiments.analyze.examination import SPANS
from experiments.analyze.materials import gather
from experiments.analyze.question import Question
from experiments.analyze.select import candidates_from
from experiments.bench.cost import timed
from experiments.runs.stages import Step


@dataclass(frozen=True)
class GateTiming:
    """Seconds of each part of the search, and of the plain loop over the same candidates.

    ``loop_seconds`` is measured on ``sample`` candidates and scaled. ``largest_difference`` is of
    necessity, sufficiency (shares) and harm (nats) over the sample.
    """

    prompts: int
    candidates: int
    record_seconds: float
    fit_seconds: float
    score_seconds: float
    loop_seconds: float
    sample: int
    ratio: float
    largest_difference: float

    @property
    def search_seconds(self) -> float:
        return self.record_seconds + self.fit_seconds + self.score_seconds

    def __str__(self) -> str:
        return (
            f"gate search: {self.search_seconds:.0f} s for {self.candidates} candidates on "
            f"{self.prompts} + {self.prompts} prompts (record {self.record_seconds:.0f}, fit "
            f"{self.fit_seconds:.0f}, score {self.score_seconds:.0f}); scoring is "
            f"{self.ratio:.0f}x faster than a loop of full passes ({self.loop_seconds:.0f} s, from "
            f"{self.sample} candidates); largest difference {self.largest_difference:.1g}"
        )


def require(count: int, sample: int) -> None:
    """Refuse too few prompts or candidates, before a model is loaded."""
    checks.whole(count, "--count", 8)
    checks.whole(sample, "--sample", 1)


def bench_gate(model: Model, count: int, sample: int, step: Step) -> GateTiming:
    """Search on ``count`` fitting and ``count`` validation prompts."""
    require(count, sample)
    question = Question(fit=count, validation=count)
    materials = gather(model, question)
    fit, validation = (equal(materials.pairs(split), "bench") for split in ("fit", "validation"))
    sites = select.resid_sites(model.runner.shape.n_layers, SPANS)
    runner, metric = model.runner, token_prob([materials.behaviour_id])
    acts, record_seconds = timed(
        lambda: {
            side: record(runner, batch, sites, lambda d, t: step("record", d, t))
            for side, batch in {"clean": fit.clean, "triggered": fit.triggered}.items()
        }
    )
    candidates, fit_seconds = timed(lambda: candidates_from(sites, acts, None))
    scored, score_seconds = timed(
        lambda: screen.search(
            runner, validation, candidates, metric, lambda d, t: step("score", d, t)
        )
    )
    whole_set = [i for i, candidate in enumerate(scored) if candidate.n == count]
    order = torch.randperm(len(whole_set), generator=torch.Generator().manual_seed(0))
    chosen = sorted(whole_set[i] for i in order[:sample].tolist())
    sampled = [candidates[i] for i in chosen]
    loop, seconds = timed(lambda: plain_loop(runner, validation, sampled, metric, step))
    gaps = [
        max(
            abs(a.necessity - b.necessity), abs(a.sufficiency - b.sufficiency), abs(a.harm - b.harm)
        )
        for a, b in zip((scored[i] for i in chosen), loop, strict=True)
    ]
    scaled = seconds * len(candidates) / len(chosen)
    return GateTiming(
        prompts=count,
        candidates=len(candidates),
        record_seconds=record_seconds,
        fit_seconds=fit_seconds,
        score_seconds=score_seconds,
        loop_seconds=scaled,
        sample=len(chosen),
        ratio=scaled / score_seconds,
        largest_difference=max(gaps),
    )


@torch.no_grad()
def plain_loop(
    runner: Runner, pairs: TokenPairs, directions: Sequence[Direction], metric: Metric, step: Step
) -> list[Candidate]:
    """Score candidates by full forward passes."""
    clean = runner.forward(whole(pairs.clean)).logits
    levels = [
        float(metric(x).mean()) for x in (clean, runner.forward(whole(pairs.triggered)).logits)
    ]
    full = levels[1] - levels[0]
    after = torch.arange(pairs.clean.width) >= pairs.first_difference
    after = after.expand_as(pairs.clean.mask)
    scored = []
    for done, d in enumerate(directions, 1):
        unit = d.vector.to(clean)
        shut = Edit(d.site.point, lambda x, u=unit: operators.project_out(x, u), after)
        opened = select.opened(d, pairs.clean)
        closed, appeared, kept = (
            runner.forward(whole(side), [edit]).logits
            for side, edit in (
                (pairs.triggered, shut),
                (pairs.clean, opened),
                (pairs.clean, shut),
            )
        )
        scored.append(
            Candidate(
                d,
                necessity=1 - (float(metric(closed).mean()) - levels[0]) / full,
                sufficiency=(float(metric(appeared).mean()) - levels[0]) / full,
                harm=float(kl_per_position(clean, kept).mean()),
            )
        )
        step("plain loop", done, len(directions))
    return scored
