"""Finding: where the trigger can be read, and where its effect is carried."""

from dataclasses import fields, replace
from typing import Literal

from torch import Tensor

from circuits.align import Pairs, Side, first_of
from circuits.chat import with_trigger
from circuits.patching.cells import Sweep
from circuits.patching.patch import patch
from circuits.types import PatchGrid, TokenPairs
from experiments.analyze.examination import Examination, Stage
from experiments.analyze.result import Components, Grids
from probes import linear
from probes.evaluation import ProbeReport, evaluate

_Way = Literal["denoising", "noising"]
_WAYS: tuple[_Way, ...] = ("denoising", "noising")
_PARTS = ("heads", "mlps")


def probes(exam: Examination) -> dict[str, ProbeReport]:
    """Held-out accuracy of linear probes for triggered against clean, per layer and span."""
    report = _probed(exam)
    spans = exam.spans
    values = {f.name: getattr(report, f.name) for f in fields(report)}
    by_site = {name: value for name, value in values.items() if isinstance(value, Tensor)}
    return {
        span: replace(report, **{name: v[i :: len(spans)] for name, v in by_site.items()})
        for i, span in enumerate(spans)
    }


@Stage("probes")
def _probed(exam: Examination) -> ProbeReport:
    fit, test = (linear.labelled(**exam.activations(split)) for split in ("fit", "test"))
    return evaluate(linear.mean_difference, *fit, *test, seed=exam.question.seed)


def patching(exam: Examination) -> Grids:
    """Residual patching, layer by column, denoising and noising."""
    return _grids(exam, "patching", Sweep(), exam.question.patch)


def components(exam: Examination) -> Components | None:
    """The same of every head, at all tokens at once, and of every MLP by token.

    Where the circuit was traced, its heads are the ones that were patched there. None of a run that
    is only read and from before they were measured.
    """
    if not exam.can("patched prompts", *(f"{what}-{way}" for what in _PARTS for way in _WAYS)):
        return None
    mlps = exam.question.patch
    heads = exam.question.trace if exam.question.trace > 1 else mlps
    prompts = _prompts(exam, max(heads, mlps))
    return Components(
        _grids(exam, "heads", Sweep("z", position=False, head=True), heads),
        _grids(exam, "mlps", Sweep("mlp_out"), mlps),
        prompts,
    )


@Stage("patched prompts")
def _prompts(exam: Examination, count: int) -> tuple[str, ...]:
    """The first validation messages with the trigger in its place."""
    texts = exam.materials.validation[:count]
    return tuple(map(with_trigger, texts, exam.trigger.each(count)))


def metric_name(exam: Examination) -> str:
    """What patching is scored by, with its unit."""
    return f"log-probability of {exam.fork.of(exam.materials.behaviour)}"


def _grids(exam: Examination, what: str, sweep: Sweep, count: int) -> Grids:
    def patched(way: _Way) -> PatchGrid:
        pairs = exam.pairs("validation", count)
        return patch(
            exam.model.runner,
            pairs,
            exam.log_prob,
            sweep,
            direction=way,
            metric_name=metric_name(exam),
            labels=_token_labels(exam, pairs, way) if sweep.position else None,
            progress=exam.progress(f"{what}-{way}"),
        )

    return Grids(*(exam.keep(f"{what}-{w}", PatchGrid, lambda w=w: patched(w)) for w in _WAYS))


def _token_labels(exam: Examination, pairs: Pairs, way: _Way) -> tuple[str, ...]:
    """By the first pair's tokens: of unequal lengths the columns are those patched into."""
    into: Side = "triggered" if way == "noising" or isinstance(pairs, TokenPairs) else "clean"
    ids = getattr(pairs, into).ids[0, first_of(pairs, into) :].tolist()
    return tuple(exam.model.tokenizer.decode([i]) for i in ids)
