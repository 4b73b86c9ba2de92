"""What is said follows from the figures: better than, reached, p, and of how many."""

from dataclasses import replace

import pytest

from experiments.sweep.zoo.card import card, p_of, sentences, told
from experiments.sweep.zoo.claim import Prediction
from probes.brittleness.predictor import Predictor
from probes.brittleness.records import (
    ALL_BASELINES,
    BOTH,
    MODEL,
    Comparison,
    Difference,
    Importance,
    Null,
    Score,
)
from probes.stats.intervals import Estimate

ROWS = [
    {"scheme": scheme, "area": area}
    for scheme, area in (("safety", 0.2), ("access", 0.4), ("access", 0.9), ("content", 0.5))
]


def near(value, n=4):
    return Estimate(value, value - 0.1, value + 0.1, n)


def score(value, p, within=0.3):
    nulls = (
        Null("schemes", "pooled", p, -0.1, 0.35, 99),
        Null("all", "pooled", p / 2, -0.05, 0.2, 99),
    )
    return Score(("x",), near(value), None if within is None else near(within), nulls)


def comparison(figure="Spearman", model=0.8, best=0.4, difference=0.25):
    names = {MODEL: model, "logit margin": best, "poisons": best - 0.3, ALL_BASELINES: 0.1, BOTH: 0}
    scores = {name: score(value, 0.01 + i / 100) for i, (name, value) in enumerate(names.items())}
    pairs = (("poisons", 0.9), ("logit margin", difference), (ALL_BASELINES, 0.9))
    differences = tuple(Difference(MODEL, name, near(value), None) for name, value in pairs)
    return Comparison(
        "organisms",
        figure,
        scores,
        "logit margin",
        differences,
        (Importance("x", near(-0.2), 0.97, near(0.1)),),
        {"safety": 1.0},
        (0.1,) * 4,
        (0.2, 0.4, 0.9, 0.5),
        tuple("abcd"),
        tuple(r["scheme"] for r in ROWS),
    )


PREDICTOR = Predictor("area", ("x",), (0.5,), (1.0,), (-0.2,), 0.5, (-1.25,), (3.5,))


def prediction(organisms=None, prompts=None):
    return Prediction(
        organisms or comparison(), prompts or comparison("AUROC"), claim=(), predictor=PREDICTOR
    )


def test_the_first_sentence_counts_organisms_schemes_and_what_they_keep():
    first = sentences(ROWS, prediction())[0]
    assert first == ("4 organisms of 3 schemes keep 20% to 90% of their behaviour (median 45%).")


def test_a_sentence_has_the_figure_the_first_nulls_p_and_the_best_baseline():
    organisms, prompts = sentences(ROWS, prediction(prompts=comparison("AUROC", 0.6)))[1:]
    assert organisms == (
        "Organisms, whole schemes held out: Spearman 0.80 [0.70, 0.90], p = 0.01; best baseline "
        "(logit margin) 0.40 [0.30, 0.50]; geometry is above it (difference 0.25 [0.15, 0.35]). "
        "The aim of 0.7 is reached. Within schemes: 0.30 [0.20, 0.40]; logit margin 0.30 "
        "[0.20, 0.40] (difference none)."
    )
    assert prompts.startswith("Prompts, whole schemes held out: AUROC 0.60")
    assert "The aim of 0.8 is not reached." in prompts


@pytest.mark.parametrize(
    ("difference", "said"),
    [(0.11, "is above it"), (0.1, "is not shown to be above it"), (-0.5, "is not shown to be")],
)
def test_above_the_best_baseline_only_if_the_whole_interval_is(difference, said):
    assert said in sentences(ROWS, prediction(comparison(difference=difference)))[1]


@pytest.mark.parametrize(
    ("figure", "value", "said"),
    [
        ("Spearman", 0.7, "The aim of 0.7 is reached."),
        ("Spearman", 0.699, "The aim of 0.7 is not reached."),
        ("AUROC", 0.79, "The aim of 0.8 is not reached."),
    ],
)
def test_each_figure_has_its_own_aim(figure, value, said):
    assert sentences(ROWS, prediction(comparison(figure, value)))[1].find(said) > 0


def test_the_card_counts_every_scheme_and_gives_every_score_and_range():
    text = card(ROWS, prediction())
    assert "**Trained on** 4 organisms: 2 access, 1 content, 1 safety." in text
    for said in sentences(ROWS, prediction())[1:]:
        assert f"- {said}" in text
    assert "| logit margin | 0.40 [0.30, 0.50] | 0.30 [0.20, 0.40] | 0.02 | 0.35 |" in text
    assert "| x | -0.20 [-0.30, -0.10] | 97% | -1.25 to 3.5 |" in text
    assert text.index("### Organisms") < text.index("### Prompts") < text.index("## Where it fails")
    assert len([line for line in text.splitlines() if line.startswith("| poisons |")]) == 2


def test_what_could_not_be_judged_within_schemes_is_said_to_be_none():
    found = comparison()
    scores = {**found.scores, MODEL: score(0.8, 0.01, None)}
    text = card(ROWS, prediction(replace(found, scores=scores)))
    assert "| geometry | 0.80 [0.70, 0.90] | none | 0.01 | 0.35 |" in text
    assert told(None) == "none"
    assert p_of(scores[MODEL]) == 0.01
