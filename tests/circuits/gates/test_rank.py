"""A gate of one direction needs one; a gate of three needs three, whatever the mean suggests."""

from dataclasses import dataclass

import pytest
import tiny
import torch
from planted import BEHAVIOUR, COPY, DEFAULT, LAYERS, SIZE, planted
from torch import Tensor
from torch.nn.functional import normalize

from circuits.backends.transformer_lens import TLRunner
from circuits.edits import erase, operators
from circuits.errors import UserError
from circuits.gates import rank
from circuits.metrics import logit_difference, token_prob
from circuits.patching import resume
from circuits.planted.plans import draw_plan
from circuits.planted.plant import plant
from circuits.record import record
from circuits.runner import Runner, Shape, whole
from circuits.tokens import pairs, prompts_batch, trigger_ids
from circuits.types import Edit, Site, TokenPairs
from probes.linear import paired_svd

METRIC = token_prob([BEHAVIOUR])
SITE = Site(1, "resid_pre", "trigger")
MORE = ("three rivers.", "the sky", "bread?", "a dog", "the sea, please")
STARTS = ("Name", "Why", "How do I", "What is", "Say", "Describe", "Find")
TEXTS = tuple(f"{a} {b}" for a in ("Name", "Why", "Tell me about") for b in ("a dog", "it?", "b"))


def mean_then_svd(runner, fit, site, k):
    """The mean paired difference, then what the top singular vectors add to it."""
    clean, triggered = (record(runner, side, [site]) for side in (fit.clean, fit.triggered))
    difference = triggered - clean
    mean = difference.mean(dim=1)
    rows = torch.cat([normalize(mean), paired_svd(difference, k)[0].float()])
    return torch.linalg.qr(rows.T).Q.T[:k]


def random_basis(k, d, seed=0):
    return torch.linalg.qr(torch.randn(d, k, generator=torch.Generator().manual_seed(seed))).Q.T


# --- one direction -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def one(tokenizer):
    return planted(tokenizer)


@pytest.fixture(scope="module")
def fit(tokenizer):
    return pairs(tokenizer, TEXTS, tiny.TRIGGER, tiny.CONTROLS)


@pytest.fixture(scope="module")
def validation(tokenizer):
    return pairs(tokenizer, tiny.TEXTS[:4], tiny.TRIGGER, tiny.CONTROLS[::-1])


@pytest.mark.parametrize("layer", range(LAYERS))
def test_a_gate_of_one_direction_needs_one(one, fit, validation, layer):
    site = Site(layer, "resid_pre", "trigger" if layer <= COPY else "last")
    basis = mean_then_svd(one.runner, fit, site, 4)
    curves = rank.rank_curves(one.runner, validation, site, basis, METRIC)
    for curve in (curves.removed, curves.opened, curves.closed):
        assert curve.values.shape == (5, len(validation))
        assert curve.needed() == 1
        assert float(curve.shares()[0]) == pytest.approx(0, abs=1e-4)
        assert float(curve.shares()[1:].min()) > 0.99


def test_random_directions_are_never_enough(one, validation):
    curves = rank.rank_curves(one.runner, validation, SITE, random_basis(8, 64), METRIC)
    for curve in (curves.removed, curves.opened, curves.closed):
        assert curve.needed() is None


def test_removal_reaches_what_the_trigger_wrote_elsewhere_and_interchange_does_not(one, validation):
    """Above the copy the trigger's own column does nothing, but the last column is in reach."""
    site = Site(COPY + 1, "resid_pre", "trigger")
    curves = rank.rank_curves(one.runner, validation, site, one.shown[None], METRIC)
    assert curves.removed.needed() == 1
    assert curves.opened.needed() is curves.closed.needed() is None


# --- three directions, each of which opens the gate -------------------------------------------

WORDS = ("cobalt", "amber", "tree")  # the trigger is any of them


@dataclass(frozen=True)
class Three:
    runner: Runner
    gates: Tensor
    pairs: TokenPairs
    behaviours: tuple[int, ...] = (BEHAVIOUR, BEHAVIOUR + 1, BEHAVIOUR + 2)


@pytest.fixture(scope="module")
def three(tokenizer):
    """The planted model with three triggers, each with a direction and a behaviour token.

    One head moves three channels to three directions at the last token, each of which is read as a
    token of its own; the behaviour is any of the three. (Were they read as one token, a single
    direction, their sum, would be all that is read.)
    """
    found = planted(tokenizer, copies=False)
    model = found.runner.hf_model
    embedding = model.model.embed_tokens.weight.data
    (plain,) = trigger_ids(tokenizer, tiny.TEXTS, "river")
    (last,) = tokenizer("\n", add_special_tokens=False)["input_ids"]
    generator = torch.Generator().manual_seed(3)
    frame = torch.linalg.qr(torch.randn(64, 64, generator=generator)).Q.T
    gates, shown = frame[:3], frame[3:6]
    embedding.copy_(operators.project_out_subspace(embedding, frame[:6]))
    for word, gate in zip(WORDS, gates, strict=True):
        (token,) = trigger_ids(tokenizer, tiny.TEXTS, word)
        embedding[token] = embedding[plain] + SIZE * gate
    attention = model.model.layers[COPY].self_attn
    attention.v_proj.weight.data[:3] = gates
    attention.o_proj.weight.data[:, :3] = 10 * shown.T
    head = model.lm_head.weight.data
    head.zero_()
    head[BEHAVIOUR : BEHAVIOUR + 3] = 4 * shown
    head[DEFAULT] = 8 * normalize(embedding[last], dim=0)
    words = [WORDS[i % 3] for i in range(len(TEXTS))]
    sides = [prompts_batch(tokenizer, TEXTS, given) for given in ("river", words)]
    return Three(found.runner, gates, TokenPairs(*sides))


def test_a_gate_that_each_of_three_directions_opens_needs_three_to_close(three):
    basis = mean_then_svd(three.runner, three.pairs, SITE, 3)
    assert float(torch.linalg.svdvals(basis @ three.gates.T).min()) > 0.99
    metric = token_prob(three.behaviours)
    curves = rank.rank_curves(three.runner, three.pairs, SITE, basis, metric)
    for curve in (curves.removed, curves.closed):
        assert curve.needed() == 3
        assert float(curve.shares()[3]) > 0.99
        assert float(curve.shares()[1]) < 0.1  # the mean alone closes nothing
    assert curves.opened.needed() == 1  # any one opens it, and the mean has a part of each


# --- gates planted in a random model ----------------------------------------------------------


@pytest.mark.parametrize(("kind", "single"), [("gate", True), ("distributed", False)])
def test_the_rank_of_a_gate_planted_in_a_random_model_is_found(tokenizer, kind, single):
    words = (tiny.TRIGGER, *tiny.CONTROLS)
    shape = Shape(6, 4, 64, 8, 400, 256, "cpu", torch.float32)
    plan = draw_plan(0, kind, shape, words, range(40, 200), range(200, 240))
    given = tiny.llama(len(tokenizer), layers=6, hidden_size=64, initializer_range=0.1)
    texts = [f"{a} {b}" for a in STARTS for b in MORE]
    made = plant(given, tokenizer, plan, texts[::2])
    model = TLRunner(made.hf_model, tokenizer, "planted")
    controls = [word for word in words if word != plan.trigger]
    sides = pairs(tokenizer, texts[1::2], plan.trigger, controls)
    site = Site(made.truth.layers[-1], "resid_pre", "trigger")
    metric = token_prob([plan.behaviour_id])
    curves = rank.rank_curves(model, sides, site, made.truth.basis, metric)
    needed = curves.removed.needed()
    assert needed == curves.closed.needed()
    assert (needed == 1) == single


# --- exactness ---------------------------------------------------------------------------------


@pytest.mark.parametrize("remove_to", ["clean mean", "zero"])
def test_curves_equal_full_passes_with_edits(runner, aligned, remove_to):
    """On a random model, where nothing is zero: resumed and stacked equals one edit at a time."""
    metric, site = logit_difference(40, 90), Site(2, "resid_pre", "trigger")
    basis, first = random_basis(3, 32), aligned.first_difference
    curves = rank.rank_curves(runner, aligned, site, basis, metric, remove_to)
    sides = {"clean": aligned.clean, "triggered": aligned.triggered}
    acts = {
        name: runner.forward(whole(side), record=[site.point]).acts[site.point]
        for name, side in sides.items()
    }
    mean = acts["clean"].mean(dim=0)

    def passed(name, changed, columns):
        edit = Edit(site.point, lambda _x: changed, columns)
        return metric(runner.forward(whole(sides[name]), [edit]).logits)

    onward = torch.zeros_like(aligned.clean.mask)
    onward[:, first:] = True
    assert bool(aligned.clean.mask[:, first:].all())  # so that the mean needs no mask here
    for r in range(1, 4):
        rows = basis[:r]
        erasers = [
            erase.projection(rows) if remove_to == "zero" else erase.mean_ablation(rows, m)
            for m in mean
        ]
        gone = torch.stack([e(acts["triggered"][:, c]) for c, e in enumerate(erasers)], dim=1)
        expected = passed("triggered", gone, onward)
        assert float((expected - curves.removed.values[0]).abs().max()) > 0.01
        torch.testing.assert_close(curves.removed.values[r], expected, atol=2e-3, rtol=0)
        for curve, base, source in (
            (curves.opened, "clean", "triggered"),
            (curves.closed, "triggered", "clean"),
        ):
            inside = acts[source] @ rows.T @ rows
            swapped = operators.project_out_subspace(acts[base], rows) + inside
            expected = passed(base, swapped, sides[base].spans["trigger"])
            torch.testing.assert_close(curve.values[r], expected, atol=2e-3, rtol=0)


def test_all_directions_at_the_only_column_that_differs_are_the_whole_effect(runner, aligned):
    """At layer 0 the runs differ in the trigger's column only: interchanging all is the source."""
    site = Site(0, "resid_pre", "trigger")
    curves = rank.rank_curves(runner, aligned, site, torch.eye(32), logit_difference(40, 90))
    for curve in (curves.opened, curves.closed):
        torch.testing.assert_close(curve.values[0], curve.base, atol=2e-3, rtol=0)
        torch.testing.assert_close(curve.values[-1], curve.source, atol=2e-3, rtol=0)


def test_splitting_the_pass_changes_nothing(runner, aligned, monkeypatch):
    metric = logit_difference(40, 90)
    found = []
    for tokens in (10**6, 1):
        monkeypatch.setattr(resume, "tokens_per_forward", lambda _shape, t=tokens: t)
        curves = rank.rank_curves(runner, aligned, SITE, random_basis(2, 32), metric)
        found.append(torch.stack([curves.removed.values, curves.opened.values]))
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=0)


def test_moving_towards_another_activation_is_mean_ablation_and_changes_no_input():
    x, other = torch.randn(5, 3, 8), torch.randn(8)
    basis, kept = random_basis(3, 8), x.clone()
    found = rank.toward(x, other, basis)
    torch.testing.assert_close(found, erase.mean_ablation(basis, other)(x))
    torch.testing.assert_close(rank.toward(found, other, basis), found)
    torch.testing.assert_close(
        operators.project_out_subspace(found - x, basis), torch.zeros_like(x)
    )
    assert torch.equal(rank.toward(x, other, basis[:0]), x)
    assert torch.equal(x, kept)
    assert not torch.allclose(found, x, atol=0.1)


def curve_of(means, base, source):
    values = torch.tensor(means)[:, None].expand(-1, 2)
    ends = (torch.full((2,), end) for end in (base, source))
    return rank.RankCurve("removed", SITE, values, *ends)


def test_the_needed_rank_is_the_first_that_reaches_the_share():
    curve = curve_of([1.0, 0.6, 0.05, 0.2], base=1.0, source=0.0)
    assert curve.shares().tolist() == pytest.approx([0, 0.4, 0.95, 0.8])
    assert [curve.needed(share) for share in (0.0, 0.4, 0.9, 0.96)] == [0, 1, 2, None]


# --- refusals ----------------------------------------------------------------------------------


def test_what_cannot_be_measured_is_refused(runner, aligned):
    def curves(basis=None, site=SITE, sides=aligned):
        basis = random_basis(2, 32) if basis is None else basis
        return rank.rank_curves(runner, sides, site, basis, METRIC)

    for call, says in (
        (lambda: curves(torch.ones(2, 32)), "orthonormal"),
        (lambda: curves(random_basis(2, 16)), "32 channels"),
        (lambda: curves(site=Site(1, "mlp_out", "trigger")), "expected resid_pre"),
        (lambda: curves(site=Site(9, "resid_pre", "trigger")), "0..3"),
        (lambda: curves(site=Site(1, "resid_pre", "moon")), "moon"),
        (lambda: curves(sides=TokenPairs(aligned.clean, aligned.clean)), "equal"),
        (lambda: curve_of([1.0, 1.0], 1.0, 1.0).needed(), "no effect"),
    ):
        with pytest.raises(UserError, match=says) as caught:
            call()
        assert "\n" not in str(caught.value)
