"""What the zoo says in sentences, and the model card of the predictor that is made from it."""

from collections.abc import Sequence
from statistics import median

from experiments.sweep.zoo.claim import Prediction
from experiments.sweep.zoo.tables import Row, number, of_scheme, schemes
from probes.brittleness.predictor import Predictor
from probes.brittleness.records import MODEL, Comparison, Score
from probes.stats.intervals import Estimate

AIMS = {"Spearman": 0.7, "AUROC": 0.8}
_PARTS = {"organisms": "schemes", "prompts": "organisms"}
_BEYOND = """\
## Where it fails

- It knows the schemes above and no other; every figure is of schemes held out, one at a time, and \
there are few of them: their number, not that of the organisms, limits what is known.
- It knows one chat model of 135M parameters and small ones made from scratch, adapters of rank 3 \
and 8, and harmless stand-in topics.
- Retention is that of one fixed battery. An attacker who adapts does worse things.
- A feature outside its range in training is extrapolated; `gatescope geometry` names it.
"""


def sentences(rows: Sequence[Row], prediction: Prediction) -> list[str]:
    """What is found, in three sentences."""
    kept = [number(row, "area") for row in rows]
    return [
        f"{len(rows)} organisms of {len(schemes(rows))} schemes keep {min(kept):.0%} to "
        f"{max(kept):.0%} of their behaviour (median {median(kept):.0%}).",
        _sentence("Organisms", prediction.organisms),
        _sentence("Prompts", prediction.prompts),
    ]


def _sentence(who: str, compared: Comparison) -> str:
    model, best = compared.scores[MODEL], compared.scores[compared.best]
    pair = (MODEL, compared.best)
    difference = next(d for d in compared.differences if (d.one, d.other) == pair)
    aim = AIMS[compared.figure]
    beats = "above" if difference.pooled.low > 0 else "not shown to be above"
    judged = [null.p for null in model.nulls if null.figure == "within"]
    p_within = f", p = {judged[0]:.3g}" if judged else ""
    reached = "reached" if model.pooled.value >= aim else "not reached"
    return (
        f"{who}, whole schemes held out: {compared.figure} {told(model.pooled)}, "
        f"p = {p_of(model):.3g}; best baseline ({compared.best}) {told(best.pooled)}; geometry is "
        f"{beats} it (difference {told(difference.pooled)}). The aim of {aim:g} is {reached}. "
        f"Within {_PARTS[compared.rows]}: {told(model.within)}{p_within}; "
        f"{compared.best} {told(best.within)} (difference {told(difference.within)})."
    )


def label(features: str) -> str:
    """A set of features as a reader knows it."""
    return features.replace(MODEL, "geometry", 1) if features.startswith(MODEL) else features


def p_of(score: Score) -> float:
    """The p to quote of a score: its first null's."""
    return score.nulls[0].p


def told(e: Estimate | None) -> str:
    """A figure with its interval."""
    return "none" if e is None else f"{e:.2f}"


def card(rows: Sequence[Row], prediction: Prediction) -> str:
    """The model card of the shipped predictor, in Markdown."""
    counts = ", ".join(f"{len(of_scheme(rows, name))} {name}" for name in schemes(rows))
    lines = [
        "# Model card: brittleness from geometry",
        "",
        "A ridge regression from an organism's density and complexity to the share of its "
        "behaviour that the brittleness battery leaves (0 to 1). Made by `gatescope sweep zoo`.",
        "",
        f"**Trained on** {len(rows)} organisms: {counts}.",
        "",
        "## How good it is",
        "",
        *(f"- {line}" for line in sentences(rows, prediction)[1:]),
        "",
        *_scores("Organisms", prediction.organisms),
        *_scores("Prompts", prediction.prompts),
        "## What it rests on",
        "",
        "| feature | coefficient | same sign in | range in training |",
        "| --- | --- | --- | --- |",
        *_features(prediction.organisms, prediction.predictor),
        "",
        _BEYOND,
    ]
    return "\n".join(lines)


def _scores(title: str, compared: Comparison) -> list[str]:
    return [
        f"### {title}",
        "",
        f"| features | {compared.figure}, all | {compared.figure}, within | p | null's 95% |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {label(name)} | {told(s.pooled)} | {told(s.within)} | {p_of(s):.3g} | "
            f"{s.nulls[0].high:.2f} |"
            for name, s in compared.scores.items()
        ),
        "",
    ]


def _features(compared: Comparison, predictor: Predictor) -> Sequence[str]:
    ends = zip(predictor.names, predictor.lows, predictor.highs, strict=True)
    ranges = {name: f"{low:.3g} to {high:.3g}" for name, low, high in ends}
    return [
        f"| {i.name} | {told(i.coefficient)} | {i.agreement:.0%} | {ranges[i.name]} |"
        for i in compared.importances
    ]
