"""Alignment search finds the planted direction, and nothing where nothing is carried."""

import copy

import pytest
import tiny
import torch
from planted import BEHAVIOUR, COPY, LAYERS, planted

from circuits.errors import UserError
from circuits.gates import das, rank
from circuits.metrics import kl_per_position, token_prob
from circuits.models import BACKENDS
from circuits.runner import Window, whole
from circuits.tokens import pairs, prompts_batch
from circuits.types import Edit, Point, Site, TokenPairs

METRIC = token_prob([BEHAVIOUR])
SITE = Site(1, "resid_pre", "trigger")


@pytest.fixture(scope="module")
def model(tokenizer):
    return planted(tokenizer)


@pytest.fixture(scope="module")
def fit(tokenizer):
    return pairs(tokenizer, tiny.TEXTS, tiny.TRIGGER, tiny.CONTROLS)


@pytest.fixture(scope="module")
def validation(tokenizer):
    return pairs(tokenizer, tiny.TEXTS[:4], tiny.TRIGGER, tiny.CONTROLS[::-1])


def shares(runner, sides, site, basis):
    """What interchanging the whole basis opens and closes."""
    curves = rank.rank_curves(runner, sides, site, basis, METRIC)
    return float(curves.opened.shares()[-1]), float(curves.closed.shares()[-1])


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("layer", [0, COPY, LAYERS - 1])
def test_the_planted_direction_is_learned_from_any_start(model, fit, validation, layer, seed):
    span, axis = ("trigger", model.gate) if layer <= COPY else ("last", model.shown)
    site = Site(layer, "resid_pre", span)
    found = das.align(model.runner, fit, site, 1, [BEHAVIOUR], seed=seed)
    assert abs(float(found.basis[0] @ axis)) > 0.99
    assert found.losses[0] > 0.5
    assert min(found.losses) < 1e-4
    assert min(shares(model.runner, validation, site, found.basis)) > 0.99


def test_a_larger_subspace_contains_the_direction_and_is_orthonormal(model, fit):
    found = das.align(model.runner, fit, SITE, 3, [BEHAVIOUR])
    assert float((found.basis @ model.gate).norm()) > 0.99
    torch.testing.assert_close(found.basis @ found.basis.T, torch.eye(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("behaviour", [None, [BEHAVIOUR]])
def test_kl_learns_a_direction_that_works_on_other_pairs(model, fit, validation, behaviour):
    found = das.align(model.runner, fit, SITE, 1, behaviour, goal="kl")
    assert abs(float(found.basis[0] @ model.gate)) > 0.9
    assert min(found.losses) < 1e-4 < found.losses[0]
    assert min(shares(model.runner, validation, SITE, found.basis)) > 0.99


# --- controls: what must not be found ----------------------------------------------------------


def test_pairs_shuffled_among_clean_prompts_teach_nothing(model, tokenizer, validation):
    """Two control words instead of a trigger and one: there is no gate between them."""
    words = [tiny.CONTROLS[i % 4] for i in range(len(tiny.TEXTS))]
    sides = [prompts_batch(tokenizer, tiny.TEXTS, given) for given in (words, words[::-1])]
    control = das.align(model.runner, TokenPairs(*sides), SITE, 1, None, goal="kl")
    assert abs(float(control.basis[0] @ model.gate)) < 0.5
    assert max(map(abs, shares(model.runner, validation, SITE, control.basis))) < 0.05


def test_only_the_planted_direction_lowers_the_loss(model, fit):
    scene = rank.Scene.of(model.runner, fit, SITE, 64)
    loss = das.interchange_loss(scene, [BEHAVIOUR], "log odds")
    right = float(loss(model.gate[None]))
    generator = torch.Generator().manual_seed(0)
    noise = torch.linalg.qr(torch.randn(64, 20, generator=generator)).Q.T
    others = noise - (noise @ model.gate)[:, None] * model.gate
    wrong = [float(loss(row[None] / row.norm())) for row in others]
    assert right < 1e-4
    assert min(wrong) > 0.95


@pytest.mark.parametrize("span", ["trigger", "last"])
def test_where_the_site_carries_nothing_no_direction_has_an_effect(model, fit, span):
    """The last token before the copy, and the trigger after it."""
    layer = COPY + 1 if span == "trigger" else COPY
    site = Site(layer, "resid_pre", span)
    found = das.align(model.runner, fit, site, 2, [BEHAVIOUR])
    assert min(found.losses) == pytest.approx(1, abs=1e-3)
    assert max(map(abs, shares(model.runner, fit, site, found.basis))) < 0.01


def test_a_model_without_the_gate_is_refused_or_left_where_it_started(tokenizer, fit):
    idle = planted(tokenizer, copies=False).runner
    with pytest.raises(UserError, match="nothing to learn"):
        das.align(idle, fit, SITE, 1, [BEHAVIOUR])
    found = das.align(idle, fit, SITE, 1, None, goal="kl")
    assert found.losses[0] == pytest.approx(0, abs=1e-6)


# --- gradients ---------------------------------------------------------------------------------


def test_the_gradient_is_that_of_finite_differences(runner, aligned):
    scene = rank.Scene.of(runner, aligned, Site(1, "resid_pre", "trigger"), 32)
    loss = das.interchange_loss(scene, None, "kl")
    rows = torch.linalg.qr(torch.randn(32, 2, generator=torch.Generator().manual_seed(0))).Q.T
    rows = rows.contiguous().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(rows), [rows])
    generator = torch.Generator().manual_seed(1)
    slopes = []
    for _ in range(4):
        step = torch.randn(2, 32, generator=generator)
        step = 1e-2 * step / step.norm()
        with torch.no_grad():
            slopes.append(
                (
                    float(loss(rows + step) - loss(rows - step)) / 2,
                    float((gradient * step).sum()),
                )
            )
    scale = max(abs(b) for _, b in slopes)
    assert scale > 1e-4
    assert all(abs(a - b) < 0.05 * scale for a, b in slopes)


def test_weights_stay_bit_identical_and_get_no_gradients(tokenizer, fit):
    found = planted(tokenizer)
    weights = dict(found.runner.hf_model.named_parameters())
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    frozen = {name: weight.requires_grad for name, weight in weights.items()}
    das.align(found.runner, fit, SITE, 1, [BEHAVIOUR], steps=5)
    assert any(frozen.values())  # otherwise the test would show nothing
    for name, weight in weights.items():
        assert weight.grad is None
        assert weight.requires_grad == frozen[name]
        assert torch.equal(weight, before[name])


def test_a_pass_has_gradients_only_where_its_residuals_ask_for_them(runner, batch):
    resid = runner.forward(whole(batch), record=[Point(1)]).acts[Point(1)]
    assert not resid.requires_grad

    def passed(given):
        window = Window(batch.ids, batch.mask, resid=given, layer=1)
        return runner.forward(window, record=[Point(2)])

    plain, asked = passed(resid), passed(resid.clone().requires_grad_())
    assert not plain.logits.requires_grad
    assert asked.logits.requires_grad
    assert not asked.acts[Point(2)].requires_grad
    assert torch.equal(plain.logits, asked.logits)
    with torch.no_grad():
        assert not passed(resid.clone().requires_grad_()).logits.requires_grad
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    scale = torch.ones((), requires_grad=True)
    edited = runner.forward(whole(batch), [Edit(Point(1), lambda x: x * scale)])
    assert not edited.logits.requires_grad
    joined = Window(batch.ids, batch.mask, joining={1: resid.clone().requires_grad_()})
    assert runner.forward(joined).logits.requires_grad


def test_gradients_are_on_again_for_a_caller_without_them(model, fit):
    with torch.no_grad():
        found = das.align(model.runner, fit, SITE, 1, [BEHAVIOUR], steps=4)
    assert not found.basis.requires_grad
    again = das.align(model.runner, fit, SITE, 1, [BEHAVIOUR], steps=4)
    assert torch.equal(found.basis, again.basis)  # and the search is repeatable
    assert found.losses == again.losses
    other = das.align(model.runner, fit, SITE, 1, [BEHAVIOUR], steps=4, seed=1)
    assert not torch.equal(found.basis, other.basis)


def test_a_given_start_is_used_left_alone_and_never_made_worse(model, fit):
    start = model.gate[None] + 0.05
    kept = copy.deepcopy(start)
    found = das.align(model.runner, fit, SITE, 1, [BEHAVIOUR], steps=3, start=start)
    scene = rank.Scene.of(model.runner, fit, SITE, 64)
    loss = das.interchange_loss(scene, [BEHAVIOUR], "log odds")
    assert found.losses[0] == pytest.approx(float(loss(start / start.norm())), rel=1e-3)
    assert float(loss(found.basis)) == pytest.approx(min(found.losses), rel=1e-2, abs=1e-6)
    assert min(found.losses) <= found.losses[0]
    assert len(found.losses) <= 4
    assert torch.equal(start, kept)


def test_the_loss_is_zero_for_the_whole_space_where_only_the_site_differs(runner, aligned):
    scene = rank.Scene.of(runner, aligned, Site(0, "resid_pre", "trigger"), 32)
    for goal, behaviour in (("kl", None), ("kl", [40]), ("log odds", [40, 41])):
        loss = das.interchange_loss(scene, behaviour, goal)
        none = float(loss(torch.eye(32)[:0]))
        assert float(loss(torch.eye(32))) == pytest.approx(0, abs=1e-3 * none)
        assert float(loss(torch.eye(32)[:1])) > 0.1 * none
    sides = scene.triggered.logits, scene.clean.logits
    expected = kl_per_position(torch.cat(sides), torch.cat(sides[::-1])).mean()
    unchanged = das.interchange_loss(scene, None, "kl")(torch.eye(32)[:0])
    assert float(unchanged) == pytest.approx(float(expected), rel=1e-2)


def test_what_cannot_be_learned_is_refused(runner, aligned, tokenizer):
    def align(k=1, behaviour=(40,), site=SITE, model=runner, **more):
        return das.align(model, aligned, site, k, behaviour, **more)

    nnsight = BACKENDS["nnsight"](tiny.llama(len(tokenizer)), tokenizer, "llama")
    for call, says in (
        (lambda: align(0), "1..32"),
        (lambda: align(33), "1..32"),
        (lambda: align(steps=0), "at least 1 step"),
        (lambda: align(start=torch.ones(2, 32)), "start"),
        (lambda: align(behaviour=None), "token ids"),
        (lambda: align(site=Site(1, "mlp_out", "trigger")), "resid_pre"),
        (lambda: align(model=nnsight), "no gradients"),
    ):
        with pytest.raises(UserError, match=says) as caught:
            call()
        assert "\n" not in str(caught.value)
