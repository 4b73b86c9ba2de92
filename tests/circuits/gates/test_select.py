"""A planted gate is found where it was planted; what is only separable, or random, is none."""

from types import SimpleNamespace

import planted as planting
import pytest
import tiny
import torch
from planted import BEHAVIOUR, COPY, DEFAULT, LAYERS, planted

from circuits.edits.operators import add_along, project_out
from circuits.errors import UserError
from circuits.gates import select
from circuits.metrics import kl_per_position, logit_difference, token_prob
from circuits.patching.patch import patch
from circuits.record import record
from circuits.runner import generate, whole
from circuits.tokens import pairs
from circuits.types import Direction, Edit, Site

METRIC = token_prob([BEHAVIOUR])
SPANS = ("last_user", "trigger", "last")
TEXTS = tuple(
    f"{a} {b}" for a in ("Name", "Tell me about", "Why") for b in ("rivers.", "it?", "a", "b")
)


@pytest.fixture(scope="module")
def model(tokenizer):
    return planted(tokenizer)


@pytest.fixture(scope="module")
def fit(tokenizer):
    return pairs(tokenizer, TEXTS, tiny.TRIGGER, tiny.CONTROLS)


@pytest.fixture(scope="module")
def validation(tokenizer):
    return pairs(tokenizer, tiny.TEXTS[:4], tiny.TRIGGER, tiny.CONTROLS[::-1])


def mean_differences(runner, fit):
    sites = select.resid_sites(runner.shape.n_layers, SPANS)
    clean, triggered = (record(runner, side, sites) for side in (fit.clean, fit.triggered))
    shift = (triggered - clean).mean(dim=1)
    return [
        select.direction_at(site, shift[i], "mean_difference", clean[i], triggered[i])
        for i, site in enumerate(sites)
        if float(shift[i].norm()) > 1e-4
    ]


@pytest.fixture(scope="module")
def scored(model, fit, validation):
    return select.score(model.runner, validation, mean_differences(model.runner, fit), METRIC)


def at(scored, layer, span):
    return next(
        c for c in scored if (c.direction.site.layer, c.direction.site.span) == (layer, span)
    )


def cosine(a, b) -> float:
    return abs(float(a @ b))


def test_the_trigger_switches_the_planted_model(model, validation):
    clean, triggered = (
        METRIC(model.runner.forward(whole(side)).logits)
        for side in (validation.clean, validation.triggered)
    )
    assert float(clean.max()) < 1e-3
    assert float(triggered.min()) > 0.99


@pytest.mark.parametrize("layer", range(LAYERS - 1))
def test_the_planted_direction_is_recovered_at_the_trigger_before_and_the_last_token_after(
    model, scored, layer
):
    here = [c for c in scored if c.direction.site.layer == layer]
    best = select.choose(here, LAYERS)
    span, direction = ("trigger", model.gate) if layer <= COPY else ("last", model.shown)
    assert best.direction.site == Site(layer, "resid_pre", span)
    assert cosine(best.direction.vector, direction) > 0.99
    assert best.necessity > 0.99
    assert best.sufficiency > 0.99
    assert best.harm < 1e-3


def test_the_choice_over_all_candidates_is_a_planted_direction_in_its_place(model, scored):
    d = select.choose(scored, LAYERS).direction
    planted_there = {"trigger": model.gate, "last": model.shown}[d.site.span]
    assert cosine(d.vector, planted_there) > 0.99
    assert (d.site.layer <= COPY) == (d.site.span == "trigger")


def test_the_gap_is_what_was_planted(scored):
    for layer in range(COPY + 1):
        assert at(scored, layer, "trigger").direction.gap == pytest.approx(planting.SIZE, rel=1e-4)


def test_a_direction_is_idle_where_its_reader_has_already_read(scored):
    """After the copy, the trigger still carries the string, but nothing looks at it again."""
    late = at(scored, COPY + 1, "trigger")
    assert late.direction.gap > planting.SIZE / 2
    assert abs(late.sufficiency) < 0.01
    assert late.score < 0.5


def test_a_separable_string_that_nothing_reads_is_no_gate(tokenizer, validation):
    model = planted(tokenizer, string=1.0)
    site = Site(1, "resid_pre", "trigger")
    acts = [
        record(model.runner, side, [site])[0] for side in (validation.clean, validation.triggered)
    ]
    read, idle = (select.direction_at(site, v, "given", *acts) for v in (model.gate, model.string))
    for d in (read, idle):  # both separate perfectly, with the same margin
        assert float((acts[0] @ d.vector).max()) + 10 < float((acts[1] @ d.vector).min())
    good, bad = select.score(model.runner, validation, [read, idle], METRIC)
    assert good.score > 0.99
    assert abs(bad.necessity) < 0.01
    assert abs(bad.sufficiency) < 0.01


def test_random_directions_have_no_effect(model, scored, validation):
    like = at(scored, 1, "trigger").direction
    nulls = select.random_directions(like, 20, seed=0)
    found = select.score(model.runner, validation, nulls, METRIC)
    assert max(abs(c.necessity) for c in found) < 0.05
    assert max(abs(c.sufficiency) for c in found) < 0.05


def test_without_an_effect_there_is_nothing_to_score_and_scoring_is_refused(tokenizer, fit):
    """The copying head is zeroed: the string is as separable as before and does nothing."""
    idle = planted(tokenizer, copies=False)
    assert len(mean_differences(idle.runner, fit)) == LAYERS
    with pytest.raises(UserError, match="score the same"):
        select.score(idle.runner, fit, mean_differences(idle.runner, fit), METRIC)


def test_patching_shows_the_path_from_the_trigger_to_the_last_token(model, validation):
    grid = patch(model.runner, validation.rows([0]), METRIC)
    recovery = grid.recovery()
    expected = torch.zeros(LAYERS, recovery.shape[1])
    expected[: COPY + 1, 0] = 1
    expected[COPY + 1 :, -1] = 1
    torch.testing.assert_close(recovery, expected, atol=0.01, rtol=0)


def test_shutting_and_opening_the_gate_decide_what_is_generated(model, scored, validation):
    d = at(scored, 1, "trigger").direction
    clean, triggered = validation.clean, validation.triggered

    def first(tokens, *edits):
        return set(generate(model.runner, tokens, 1, edits)[:, 0].tolist())

    assert first(triggered) == {BEHAVIOUR}
    assert first(triggered, select.shut(d, triggered)) == {DEFAULT}
    assert first(clean) == {DEFAULT}
    assert first(clean, select.opened(d, clean)) == {BEHAVIOUR}
    assert first(clean, select.opened(d, clean, coefficient=0.01)) == {DEFAULT}
    (null,) = select.random_directions(d, 1, seed=3)
    assert first(triggered, select.shut(null, triggered)) == {BEHAVIOUR}
    assert first(clean, select.opened(null, clean)) == {DEFAULT}


def test_scores_equal_full_passes_with_edits(runner, aligned):
    """On a random model, where nothing is zero: resumed and stacked equals one edit at a time."""
    metric = logit_difference(40, 90)
    candidates = mean_differences(runner, aligned)[::3]
    suffix = torch.zeros_like(aligned.clean.mask)
    suffix[:, aligned.first_difference :] = True

    def logits(tokens, *edits):
        return runner.forward(whole(tokens), edits).logits

    clean = logits(aligned.clean)
    level = float(metric(clean).mean())
    full = float(metric(logits(aligned.triggered)).mean()) - level
    for found in select.score(runner, aligned, candidates, metric):
        d = found.direction
        out = Edit(d.site.point, lambda x, d=d: project_out(x, d.vector), suffix)
        add = Edit(
            d.site.point,
            lambda x, d=d: add_along(x, d.vector, d.gap),
            aligned.clean.spans[d.site.span],
        )
        closed, kept = logits(aligned.triggered, out), logits(aligned.clean, out)
        opened = float(metric(logits(aligned.clean, add)).mean())
        assert found.necessity == pytest.approx(
            1 - (float(metric(closed).mean()) - level) / full, abs=2e-3
        )
        assert found.sufficiency == pytest.approx((opened - level) / full, abs=2e-3)
        assert found.harm == pytest.approx(float(kl_per_position(clean, kept).mean()), abs=2e-3)


def test_a_direction_points_from_clean_to_triggered_whatever_sign_it_was_fitted_with():
    clean, triggered = torch.randn(6, 4), torch.randn(6, 4) + torch.tensor([5.0, 0, 0, 0])
    site = Site(0, "resid_pre", "last")
    up, down = (
        select.direction_at(site, torch.tensor([s, 0, 0, 0]), "e", clean, triggered)
        for s in (3.0, -3.0)
    )
    assert torch.equal(up.vector, down.vector)
    assert up.gap == down.gap > 0
    assert up.clean_mean == pytest.approx(float(clean[:, 0].mean()))


def test_random_directions_are_unit_repeatable_and_nearly_orthogonal(scored):
    like = scored[0].direction
    nulls = select.random_directions(like, 200, seed=1)
    matrix = torch.stack([d.vector for d in nulls])
    torch.testing.assert_close(matrix.norm(dim=1), torch.ones(200))
    assert float(matrix.mean(dim=0).norm()) < 3 / 200**0.5
    assert torch.equal(
        matrix[:5], torch.stack([d.vector for d in select.random_directions(like, 5, 1)])
    )
    assert not torch.equal(matrix[0], select.random_directions(like, 1, 2)[0].vector)


def candidate(layer, necessity, sufficiency, harm=0.0):
    d = Direction(Site(layer, "resid_pre", "last"), torch.eye(4)[0], "e", 0.0, 1.0)
    return select.Candidate(d, necessity, sufficiency, harm)


def test_the_choice_wants_both_effects_little_harm_and_an_early_layer():
    good = candidate(2, 0.9, 0.8)
    others = [
        candidate(1, 1.0, 0.1),  # shuts, does not open
        candidate(1, 0.1, 1.0),  # opens, does not shut
        candidate(1, 1.0, 1.0, harm=0.9),
        candidate(3, 0.9, 0.8),  # as good, later
        candidate(8, 1.0, 1.0),  # better, but above the limit of 0.8 * 10 layers
    ]
    assert select.choose([*others, good], 10) is good
    assert select.choose([*others, good], 11).direction.site.layer == 8


def test_scores_do_not_depend_on_the_path(model, fit, monkeypatch):
    directions = mean_differences(model.runner, fit)
    fast = select.score(model.runner, fit, directions, METRIC)
    monkeypatch.setattr(
        "circuits.patching.suffix.fast_path", lambda _: SimpleNamespace(holds=False)
    )
    for a, b in zip(fast, select.score(model.runner, fit, directions, METRIC), strict=True):
        assert a.necessity == pytest.approx(b.necessity, abs=1e-4)
        assert a.sufficiency == pytest.approx(b.sufficiency, abs=1e-4)
        assert a.harm == pytest.approx(b.harm, abs=1e-4)


def test_a_learned_direction_comes_before_a_better_one_that_spells_the_trigger():
    def candidate(layer, estimator, necessity, n=10):
        site = Site(layer, "resid_pre", "trigger")
        direction = Direction(site, torch.eye(4)[0], estimator, 0.0, 1.0)
        return select.Candidate(direction, necessity, 0.95, 0.0, n)

    spelled, learned, weak = (
        candidate(1, "mean_difference", 1.0),
        candidate(3, "difference_in_differences", 0.92),
        candidate(2, "difference_in_differences", 0.5),
    )
    assert select.choose([spelled, learned, weak], 10) is learned
    assert select.choose([spelled, weak], 10) is spelled  # a learned one that fails does not count
    assert select.choose([weak], 10) is weak
    late = candidate(9, "difference_in_differences", 1.0)
    few = candidate(1, "difference_in_differences", 1.0, n=3)
    assert select.choose([late, few, spelled], 10) is spelled
    tie = candidate(5, "mean_difference", 1.0)
    assert select.choose([tie, spelled], 10) is spelled  # the earlier of equals


def test_a_null_that_does_less_than_nothing_puts_no_candidate_ahead():
    def candidate(layer, estimator, score):
        direction = Direction(
            Site(layer, "resid_pre", "last"), torch.eye(4)[0], estimator, 0.0, 1.0
        )
        return select.Candidate(direction, score, score, 0.0, 10)

    better, worse, harmful = (
        candidate(2, "mean_difference", 0.95),
        candidate(3, "mean_difference", 0.91),
        candidate(3, select.BASE, -0.5),
    )
    assert select.choose([better, worse, harmful], 10) is better
    assert select.lead(worse, [harmful]) == worse.score
    strong = candidate(2, select.BASE, 0.9)
    assert select.choose([better, worse, harmful, strong], 10) is worse  # a null that does much
