"""Doses and null directions do what whole passes with edits do; the planted threshold is found."""

from types import SimpleNamespace

import planted as planting
import pytest
import tiny
import torch
from planted import BEHAVIOUR, DEFAULT, D, planted

from circuits.edits.operators import add_along, project_out, set_component_above
from circuits.errors import UserError
from circuits.gates import effects as evidence
from circuits.gates import select
from circuits.metrics import logit_difference, token_prob
from circuits.patching import resume, suffix
from circuits.record import record
from circuits.runner import whole
from circuits.tokens import pairs
from circuits.types import Direction, Edit, Site

METRIC = token_prob([BEHAVIOUR])
SITE = Site(1, "resid_pre", "trigger")


@pytest.fixture(scope="module")
def model(tokenizer):
    return planted(tokenizer)


def direction_of(runner, vector, pairs, site=SITE) -> Direction:
    acts = [record(runner, side, [site])[0] for side in (pairs.clean, pairs.triggered)]
    return select.direction_at(site, vector, "given", *acts)


@pytest.fixture(scope="module")
def found(model, aligned):
    return direction_of(model.runner, model.gate, aligned)


@pytest.fixture(scope="module")
def chance(runner, aligned) -> Direction:
    """A direction of the random model, where nothing is zero."""
    vector = torch.randn(runner.shape.d_model, generator=torch.Generator().manual_seed(5))
    return direction_of(runner, vector, aligned)


def threshold(length: int) -> float:
    """The dose at which the planted model's two logits are equal, for a prompt of so many tokens.

    The head writes ``10 v / length`` along ``shown``, with ``v = sqrt(D) s / sqrt(1 + s^2)`` the
    normed component ``s`` of a unit embedding; the logits are equal where it writes 2.
    """
    share = 2 * length / (10 * D**0.5)
    return share / (1 - share**2) ** 0.5 / planting.SIZE


def test_the_planted_threshold_is_where_the_arithmetic_puts_it(model, found, aligned):
    metric = logit_difference(BEHAVIOUR, DEFAULT)
    for row in range(len(aligned)):
        pair = aligned.rows([row])
        expected = threshold(int(pair.clean.mask.sum()))
        doses = expected * torch.tensor([0.5, 0.98, 1.02, 2.0])
        values = evidence.transfer(model.runner, pair, found, metric, doses)[:, 0]
        assert [bool(v > 0) for v in values] == [False, False, True, True]


def test_dose_zero_is_clean_and_dose_one_is_triggered_on_either_side(model, found, aligned):
    runs = [
        METRIC(model.runner.forward(whole(s)).logits) for s in (aligned.clean, aligned.triggered)
    ]
    for side in ("clean", "triggered"):
        curve = evidence.transfer(
            model.runner, aligned, found, METRIC, torch.tensor([0.0, 1.0]), side
        )
        torch.testing.assert_close(curve, torch.stack(runs), atol=2e-3, rtol=0)


def test_a_direction_that_nothing_reads_has_the_same_effect_at_every_dose(tokenizer, aligned):
    model = planted(tokenizer, string=1.0)
    idle = direction_of(model.runner, model.string, aligned)
    assert idle.gap == pytest.approx(planting.SIZE, rel=1e-3)
    curve = evidence.transfer(model.runner, aligned, idle, METRIC, evidence.coefficients())
    assert float(curve.max()) < 0.01
    read = direction_of(model.runner, model.gate, aligned)
    assert float(evidence.transfer(model.runner, aligned, read, METRIC, torch.ones(1)).min()) > 0.99


@pytest.mark.parametrize("side", ["clean", "triggered"])
def test_doses_equal_whole_passes_with_the_component_set(runner, aligned, chance, side):
    metric = logit_difference(40, 90)
    tokens = getattr(aligned, side)
    doses = torch.tensor([-2.0, 0.3, 1.0])
    curve = evidence.transfer(runner, aligned, chance, metric, doses, side)
    for dose, values in zip(doses.tolist(), curve, strict=True):
        level = chance.clean_mean + dose * chance.gap
        edit = Edit(
            SITE.point,
            lambda x, level=level: set_component_above(x, chance.vector, -torch.inf, level),
            tokens.spans["trigger"],
        )
        expected = metric(runner.forward(whole(tokens), [edit]).logits)
        torch.testing.assert_close(values, expected, atol=2e-3, rtol=0)
    assert float((curve[0] - curve[2]).abs().max()) > 0.02  # doses do differ


def test_null_effects_equal_whole_passes_with_edits(runner, aligned, chance):
    metric = logit_difference(40, 90)
    units = evidence.sphere_directions(runner.shape.d_model, 3, seed=0)
    effects = evidence.effects(runner, aligned, chance.site, units, chance.gap, metric)
    suffix = torch.zeros_like(aligned.clean.mask)
    suffix[:, aligned.first_difference :] = True
    for i, unit in enumerate(units):
        out = Edit(SITE.point, lambda x, u=unit: project_out(x, u), suffix)
        add = Edit(
            SITE.point,
            lambda x, u=unit: add_along(x, u, chance.gap),
            aligned.clean.spans["trigger"],
        )
        removed = metric(runner.forward(whole(aligned.triggered), [out]).logits)
        added = metric(runner.forward(whole(aligned.clean), [add]).logits)
        torch.testing.assert_close(effects.removed[i], removed, atol=2e-3, rtol=0)
        torch.testing.assert_close(effects.added[i], added, atol=2e-3, rtol=0)
    torch.testing.assert_close(effects.fall, effects.triggered - effects.removed)
    torch.testing.assert_close(effects.rise, effects.added - effects.clean)


def test_the_gate_shuts_and_opens_and_random_directions_do_neither(model, found, aligned):
    acts = [record(model.runner, side, [SITE])[0] for side in (aligned.clean, aligned.triggered)]
    units = torch.cat(
        [
            found.vector[None],
            evidence.sphere_directions(D, 20, seed=0),
            evidence.covariance_directions(*acts, 20, seed=0),
        ]
    )
    effects = evidence.effects(model.runner, aligned, found.site, units, found.gap, METRIC)
    assert float(effects.fall[0].min()) > 0.99
    assert float(effects.rise[0].min()) > 0.99
    assert float(effects.fall[1:].abs().max()) < 0.05
    assert float(effects.rise[21:].abs().max()) < 0.05  # within classes nothing varies along gate
    seen = []
    evidence.effects(
        model.runner,
        aligned,
        found.site,
        units,
        found.gap,
        METRIC,
        lambda a, b: seen.append((a, b)),
    )
    assert seen[-1] == (82, 82)
    assert seen == sorted(seen)


def test_every_direction_may_be_added_by_its_own_amount(model, found, aligned):
    units = found.vector.expand(2, -1)
    amounts = torch.tensor([0.01, 1.0]) * found.gap
    effects = evidence.effects(model.runner, aligned, SITE, units, amounts, METRIC)
    assert float(effects.added[0].max()) < 0.01
    assert float(effects.added[1].min()) > 0.99


def test_passes_of_any_size_and_the_plain_path_find_the_same(monkeypatch, runner, aligned, chance):
    metric = logit_difference(40, 90)
    units = evidence.sphere_directions(runner.shape.d_model, 7, seed=1)

    def measured():
        effects = evidence.effects(runner, aligned, chance.site, units, chance.gap, metric)
        curve = evidence.transfer(runner, aligned, chance, metric, torch.tensor([0.5, 1.5]))
        return torch.cat([effects.removed, effects.added, curve])

    once = measured()
    for limit in (1, 40):
        monkeypatch.setattr(resume, "tokens_per_forward", lambda shape, limit=limit: limit)
        torch.testing.assert_close(measured(), once, atol=2e-3, rtol=0)
    monkeypatch.setattr(suffix, "fast_path", lambda runner: SimpleNamespace(holds=False))
    torch.testing.assert_close(measured(), once, atol=2e-3, rtol=0)


def test_covariance_directions_follow_the_spread_within_classes_only():
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([0.1, 3.0, 1.0, 0.0])
    clean, triggered = (torch.randn(400, 4, generator=generator) * spread for _ in range(2))
    triggered[:, 0] += 50  # what the trigger does must not enter
    drawn = evidence.covariance_directions(clean, triggered, 300, seed=1)
    torch.testing.assert_close(drawn.norm(dim=1), torch.ones(300))
    sizes = drawn.abs().mean(dim=0)
    assert sizes[1] > sizes[2] > sizes[0] > sizes[3] == 0
    uniform = evidence.sphere_directions(4, 300, seed=1).abs().mean(dim=0)
    assert float(uniform.max() / uniform.min()) < 1.3
    again = evidence.covariance_directions(clean, triggered, 300, seed=1)
    assert torch.equal(drawn, again)
    assert not torch.equal(drawn, evidence.covariance_directions(clean, triggered, 300, seed=2))


def test_draws_have_the_covariance_that_they_should():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 3, generator=generator) * torch.tensor([1.0, 2.0, 4.0])
    centred = x - x.mean(dim=0)
    covariance = centred.T @ centred
    axes = torch.linalg.eigh(covariance).eigenvectors
    drawn = evidence.covariance_directions(x, x, 4000, seed=0) @ axes
    cross = drawn.T @ drawn / 4000  # normalised draws keep the axes of the covariance
    assert float((cross - cross.diag().diag()).abs().max()) < 0.03
    assert cross.diag().tolist() == sorted(cross.diag().tolist())


def test_nothing_is_changed(runner, aligned, chance):
    weights = {name: p.clone() for name, p in runner.hf_model.named_parameters()}
    units = evidence.sphere_directions(runner.shape.d_model, 2, seed=0)
    kept = units.clone()
    evidence.effects(runner, aligned, chance.site, units, chance.gap, METRIC)
    evidence.transfer(runner, aligned, chance, METRIC, torch.ones(2))
    assert torch.equal(units, kept)
    assert all(torch.equal(weights[n], p) for n, p in runner.hf_model.named_parameters())


def test_what_cannot_be_measured_is_refused(runner, aligned, chance, tokenizer):
    units = evidence.sphere_directions(runner.shape.d_model, 2, seed=0)
    with pytest.raises(UserError, match="resid_pre of a layer"):
        evidence.effects(runner, aligned, Site(1, "mlp_out", "trigger"), units, chance.gap, METRIC)
    with pytest.raises(UserError, match="span 'nowhere'"):
        evidence.effects(
            runner, aligned, Site(1, "resid_pre", "nowhere"), units, chance.gap, METRIC
        )
    for wrong in (3 * units, units[:, :4], units[:0], units[0]):
        with pytest.raises(UserError, match="directions: expected"):
            evidence.effects(runner, aligned, chance.site, wrong, chance.gap, METRIC)
    with pytest.raises(UserError, match="one amount each"):
        evidence.effects(runner, aligned, SITE, units, torch.ones(3), METRIC)
    equal = pairs(tokenizer, tiny.TEXTS[:2], "river", ["river"])
    with pytest.raises(UserError, match="equal"):
        evidence.transfer(runner, equal, chance, METRIC, torch.ones(1))
    for wrong in (torch.tensor([float("nan")]), torch.zeros(0)):
        with pytest.raises(UserError, match="finite coefficients"):
            evidence.transfer(runner, aligned, chance, METRIC, wrong)
    with pytest.raises(UserError, match="that vary within"):
        evidence.covariance_directions(torch.ones(3, 4), torch.zeros(3, 4), 5, seed=0)
