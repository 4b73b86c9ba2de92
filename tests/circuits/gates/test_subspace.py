"""A subspace carries the effect where no direction does; where one does, none is looked for."""

import tiny
import torch
from planted import BEHAVIOUR, planted

from circuits.gates.select import Candidate, direction_at
from circuits.gates.subspace import Subspace, carrying, without_direction
from circuits.metrics import token_log_odds
from circuits.tokens import pairs
from circuits.types import Site

SITE = Site(1, "resid_pre", "trigger")


def test_the_planted_axis_is_enough_and_a_random_plane_is_not(tokenizer):
    model = planted(tokenizer)
    both = pairs(tokenizer, tiny.TEXTS, tiny.TRIGGER, tiny.CONTROLS)
    metric = token_log_odds([BEHAVIOUR])
    other = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    other = torch.linalg.qr((other - torch.outer(other @ model.gate, model.gate)).T).Q.T
    basis = torch.cat([other[:1], model.gate[None], other[1:]])
    best = carrying(model.runner, both, [Subspace(SITE, other), Subspace(SITE, basis)], metric)
    assert best is not None
    assert len(best.basis) == 2  # in the order given: the one before it does nothing
    assert carrying(model.runner, both, [Subspace(SITE, other)], metric) is None


def test_one_direction_is_several_only_where_its_sign_varies(tokenizer):
    model = planted(tokenizer)
    both = pairs(tokenizer, tiny.TEXTS, tiny.TRIGGER, tiny.CONTROLS)
    metric, alone = token_log_odds([BEHAVIOUR]), model.gate[None]
    assert carrying(model.runner, both, [Subspace(SITE, alone)], metric) is None
    assert carrying(model.runner, both, [Subspace(SITE, alone, varies=True)], metric) is not None


def test_a_site_where_a_direction_does_it_is_left_out():
    acts = torch.randn(4, 16)
    direction = direction_at(SITE, torch.ones(16), "mean_difference", acts, acts + 1)
    subspaces = [Subspace(SITE, torch.eye(16)[:2])]
    assert without_direction(subspaces, [Candidate(direction, 0.95, 0.9, 0.5)]) == []
    assert without_direction(subspaces, [Candidate(direction, 0.95, 0.1, 0.0)]) == subspaces
