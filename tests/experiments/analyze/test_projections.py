"""Prompts along what was learned: the right sites, in units of the gap, arms on the same axes."""

from types import SimpleNamespace

import pytest
import torch

from circuits.gates.select import Candidate, direction_at
from circuits.types import Site
from experiments.analyze import projections as module
from experiments.analyze.projections import projections
from experiments.analyze.select import LEARNED

SITES = [Site(i, "resid_pre", span) for i in range(10) for span in ("trigger", "last")]


def activations(shift: float, seed: int):
    noise = torch.randn(2, len(SITES), 30, 8, generator=torch.Generator().manual_seed(seed))
    clean, triggered = 0.1 * noise
    return {"clean": clean, "triggered": triggered + shift * torch.eye(8)[2]}


def candidate(index: int, score: float, estimator=LEARNED) -> Candidate:
    acts = activations(1.0, 0)
    sides = acts["clean"][index], acts["triggered"][index]
    vector = (sides[1] - sides[0]).mean(dim=0)
    return Candidate(direction_at(SITES[index], vector, estimator, *sides), score, score, 0.0)


@pytest.fixture
def exam(monkeypatch):
    monkeypatch.setattr(module, "arms_kept", lambda exam: {"clean": activations(0.0, 2)})
    return SimpleNamespace(layers=10, sites=lambda: SITES, activations=lambda _: activations(1, 1))


def test_each_part_has_the_best_of_its_sites_and_arms_stand_on_its_axis(exam):
    scores = {Site(2, "resid_pre", "trigger"): 0.9, Site(5, "resid_pre", "last"): 0.8}
    late = {Site(9, "resid_pre", "last"): 0.1, Site(8, "resid_pre", "last"): 1.0}
    scored = [candidate(i, (scores | late).get(site, 0.2)) for i, site in enumerate(SITES)]
    read, relayed, written = projections(exam, scored)
    assert [str(each.site) for each in (read, relayed, written)] == [
        "resid_pre[2] at trigger",
        "resid_pre[5] at last",
        "resid_pre[9] at last",
    ]
    for each in (read, relayed, written):
        own = each.points["this model"]
        assert float(own["control word"].mean()) == pytest.approx(0, abs=0.2)
        assert float(own["triggered"].mean()) == pytest.approx(1, abs=0.2)
        assert each.apart["this model"].low > 0.8
        assert float(each.points["clean"]["triggered"].mean()) == pytest.approx(0, abs=0.2)
        assert each.apart["clean"].low < 0.5 < each.apart["clean"].high


def test_without_a_base_nothing_is_told_of_what_was_learned(exam):
    assert projections(exam, [candidate(0, 1.0, "mean_difference")]) == ()
    (only,) = projections(exam, [candidate(0, 1.0)])
    assert only.part == "reader"
