"""A gradient ranks, exact scores choose: what is chosen is what scoring everything would choose."""

from dataclasses import replace
from types import SimpleNamespace

import planted as planting
import pytest
import tiny
import torch
from planted import BEHAVIOUR

from circuits.backends.nnsight import NNsightRunner
from circuits.backends.plain import PlainRunner
from circuits.backends.transformer_lens import TLRunner
from circuits.gates import screen, select
from circuits.metrics import token_log_odds
from circuits.patching.resume import resume
from circuits.patching.suffix import run_pairs
from circuits.record import record
from circuits.tokens import pairs
from circuits.types import Site

METRIC = token_log_odds([BEHAVIOUR])
SPANS = ("last_user", "trigger", "last")
RUNGS = ((12, 2), (6, 3), (4, 10**6))


@pytest.fixture(scope="module")
def some(tokenizer):
    texts = [f"{a} {b}" for a in ("Name", "Why") for b in ("rivers.", "it?", "a")]
    return pairs(tokenizer, texts, tiny.TRIGGER, tiny.CONTROLS)


def directions(runner, some, seed=0):
    """At every site the mean difference, two random directions, and the mean as a null."""
    sites = select.resid_sites(runner.shape.n_layers, SPANS)
    clean, triggered = (record(runner, side, sites) for side in (some.clean, some.triggered))
    shift = (triggered - clean).mean(dim=1)
    drawn = torch.randn(2, *shift.shape, generator=torch.Generator().manual_seed(seed))
    named = (("mean_difference", shift), ("random", drawn[0]), ("other", drawn[1]))
    return [
        select.direction_at(site, vectors[i], name, clean[i], triggered[i])
        for i, site in enumerate(sites)
        for name, vectors in (*named, (select.BASE, shift + drawn[0]))
        if float(shift[i].norm()) > 1e-4
    ]


@pytest.fixture(scope="module")
def curved(tokenizer):
    """A model with nothing planted, of which no metric is linear."""
    return TLRunner(tiny.llama(len(tokenizer), layers=3), tokenizer, "tiny")


@pytest.fixture(scope="module", params=[TLRunner, PlainRunner])
def differentiable(request, curved, tokenizer):
    return request.param(curved.hf_model, tokenizer, "tiny")


def test_a_slope_is_what_a_small_step_does(differentiable, some):
    run = run_pairs(differentiable, some)[1]
    slopes = screen.slopes(differentiable, run, METRIC)
    step = torch.randn(run.resid[1].shape, generator=torch.Generator().manual_seed(0))
    there = run.resid[1]
    moved = [resume(differentiable, run, 1, (there + sign * 1e-2 * step)[None])[0]
             for sign in (1, -1)]  # fmt: skip
    change = (METRIC(moved[0]) - METRIC(moved[1])) / 2e-2
    torch.testing.assert_close((slopes[1] * step).sum(dim=(1, 2)), change, rtol=1e-2, atol=1e-3)
    assert float(slopes[0].norm()) != pytest.approx(float(slopes[1].norm()))
    assert all(parameter.grad is None for parameter in differentiable.hf_model.parameters())


def test_small_changes_have_a_first_order_and_large_ones_more(curved, some):
    (one, *_) = (d for d in directions(curved, some) if d.site == Site(1, "resid_pre", "trigger"))

    def added(gap):
        d = replace(one, triggered_mean=one.clean_mean + gap)
        exact = select.score(curved, some, [d], METRIC)[0].sufficiency
        return screen.first_order(curved, some, [d], METRIC)[0].sufficiency / exact

    assert added(0.05) == pytest.approx(1, abs=0.05)  # below, float32 rounds
    assert added(30.0) != pytest.approx(1, abs=0.2)


def test_every_score_says_on_how_many_pairs_it_stands(curved, some, monkeypatch):
    monkeypatch.setattr(screen, "RUNGS", RUNGS)
    every = directions(curved, some)
    found = screen.search(curved, some, every, METRIC)
    on = {n: select.score(curved, some.rows(slice(n)), every, METRIC) for n in (2, 3, len(some))}
    on[0] = screen.first_order(curved, some, every, METRIC)
    assert {c.n for c in found} == set(on)
    for i, candidate in enumerate(found):
        same = on[candidate.n][i]
        for name in ("necessity", "sufficiency", "harm"):
            assert getattr(candidate, name) == pytest.approx(getattr(same, name), abs=1e-4)
    full = [c for c in found if c.n == len(some)]
    assert sum(not select.is_null(c) for c in full) == 4
    sites = [c.direction.site for c in full if select.is_null(c)]
    assert set(sites) == {c.direction.site for c in full}  # each beside what any model has there


def test_a_back_end_without_gradients_scores_all_on_the_first_rung(curved, some, monkeypatch):
    monkeypatch.setattr(screen, "RUNGS", RUNGS)
    monkeypatch.setattr(screen, "slopes", lambda *given: None)
    found = screen.search(curved, some, directions(curved, some), METRIC)
    assert {c.n for c in found} == {2, 3, len(some)}


def test_nnsight_passes_gradients_on_or_none(curved, some, tokenizer):
    run = run_pairs(curved, some)[0]
    there = screen.slopes(NNsightRunner(curved.hf_model, tokenizer, "tiny"), run, METRIC)
    assert there is None or torch.allclose(there, screen.slopes(curved, run, METRIC), atol=1e-4)


@pytest.mark.parametrize("shared", [True, False])
def test_twenty_planted_gates_are_chosen_as_if_all_had_been_scored(
    tokenizer, some, monkeypatch, shared
):
    monkeypatch.setattr(screen, "RUNGS", RUNGS)
    monkeypatch.setattr(
        "circuits.patching.suffix.fast_path", lambda _: SimpleNamespace(holds=shared)
    )
    for seed in range(20 if shared else 2):
        runner = planting.planted(tokenizer, seed=seed).runner
        every = [d for d in directions(runner, some, seed) if d.estimator != select.BASE]
        full = select.score(runner, some, every, METRIC)
        best = select.choose(full, planting.LAYERS)
        found = select.choose(screen.search(runner, some, every, METRIC), planting.LAYERS)
        assert found.n == len(some)
        assert found.score >= best.score - select.TIE
        assert best.passes
