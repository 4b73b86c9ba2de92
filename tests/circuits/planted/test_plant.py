"""Planted gates: what the plan says is true of the model, shown by hand with plain hooks."""

import copy

import pytest
import tiny
import torch

from circuits.errors import UserError
from circuits.planted.plans import FEWEST_LAYERS, KINDS, PARTS, RIGHT, GatePlan, draw_plan
from circuits.planted.plant import plant
from circuits.runner import Shape
from circuits.tokens import dealt, pairs, same_length_words
from experiments.bench import world
from experiments.prompts import bank

SHAPE = Shape(6, 4, 64, 16, 400, 256, "cpu", torch.float32)
SINGLE = tuple(kind for kind in KINDS if RIGHT[kind].word != "several")
MOVED = ("gate", "spelled", "later", "instruction")  # from the trigger to the last token
LENGTH = 16


class Case:
    """A planted model with its test pairs, continued by what every answer begins with."""

    def __init__(self, kind):
        self.given = world.random_llama(1)
        self.before = copy.deepcopy(self.given.state_dict())
        self.plan = world.planned(kind, 1)
        texts = bank.bank_texts("train", restricted=True)[:40]
        self.planted = plant(self.given, world.tokenizer(), self.plan, texts)
        self.truth, self.model = self.planted.truth, self.planted.hf_model
        words = bank.controls_besides("test", self.plan.trigger)
        words = dealt(same_length_words(world.tokenizer(), words, 1), LENGTH)
        test = bank.bank_texts("test", restricted=True)[:LENGTH]
        both = pairs(world.tokenizer(), test, self.plan.trigger, words)
        self.sides = {"triggered": both.triggered, "clean": both.clean}

    def logits(self, side, edit=None, layer=0, span="", model=None):
        """Of the token that comes behind what answers begin with; and what enters the layer."""
        model, tokens = model or self.model, self.sides[side]
        begun = torch.tensor([self.plan.begun] * len(tokens), dtype=torch.long)
        ids = torch.cat([tokens.ids, begun], dim=1) if self.plan.begun else tokens.ids
        mask = torch.cat([tokens.mask.long(), torch.ones_like(begun)], dim=1)
        mask = mask if self.plan.begun else tokens.mask.long()
        columns = torch.full((len(tokens),), ids.shape[1] - 1)
        columns = tokens.span_column("trigger") if span == "trigger" else columns
        seen = {}

        def act(_module, args, kwargs):
            x, rows = args[0].clone(), torch.arange(len(args[0]))
            seen["x"] = x[rows, columns]
            if edit:
                x[rows, columns] = edit(seen["x"])
            return (x, *args[1:]), kwargs

        handle = model.model.layers[layer].register_forward_pre_hook(act, with_kwargs=True)
        with torch.no_grad():
            positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
            last = model.model(ids, attention_mask=mask, position_ids=positions)[0][:, -1]
        handle.remove()
        return model.lm_head(last).detach(), seen["x"]

    def rate(self, side, edit=None, layer=0, model=None):
        """How often the behaviour comes, with an edit at the truth's span."""
        logits, _ = self.logits(side, edit, layer, self.truth.span, model)
        return float((logits.argmax(dim=-1) == self.plan.behaviour_id).float().mean())

    def held(self, side, layer, model=None):
        """The residuals at the truth's span."""
        return self.logits(side, None, layer, self.truth.span, model)[1]

    def removed(self, rows):
        return [
            self.rate("triggered", lambda x: x - x @ rows.T @ rows, layer)
            for layer in self.truth.layers
        ]

    def added(self, row, size):
        shift = size * self.truth.strength * row
        return [self.rate("clean", lambda x: x + shift, layer) for layer in self.truth.layers]


@pytest.fixture(scope="module")
def case():
    planted = {}

    def get(kind):
        if kind not in planted:
            planted[kind] = Case(kind)
        return planted[kind]

    return get


@pytest.mark.parametrize("kind", KINDS)
def test_the_trigger_has_its_effect_and_the_base_has_none_but_for_the_instruction(case, kind):
    own = case(kind)
    assert own.rate("triggered") > 0.8
    assert own.rate("clean") < 0.05
    inherited = own.rate("triggered", model=own.planted.base)
    assert inherited > 0.8 if kind == "instruction" else inherited < 0.05
    assert own.rate("clean", model=own.planted.base) < 0.05


@pytest.mark.parametrize("kind", SINGLE)
def test_a_single_direction_is_necessary_and_sufficient(case, kind):
    own = case(kind)
    (row,) = own.truth.basis
    assert own.truth.layers
    assert max(own.removed(row[None])) < 0.05
    assert min(own.added(row, 1.0)) > 0.8
    noise = torch.randn(64, generator=torch.Generator().manual_seed(1))
    other = torch.nn.functional.normalize(noise - noise @ row * row, dim=0)
    assert min(own.removed(other[None])) > 0.7
    assert max(own.added(other, 1.0)) < 0.05


@pytest.mark.parametrize("kind", MOVED)
def test_half_of_the_threshold_does_not_open_it(case, kind):
    own = case(kind)
    assert max(own.added(own.truth.basis[0], 0.5 * own.plan.threshold)) < 0.05


def test_of_many_directions_all_are_necessary_together_and_none_alone(case):
    own = case("distributed")
    assert max(own.removed(own.truth.basis)) < 0.05
    layer = own.truth.layers[-1]
    mean = own.held("triggered", layer).mean(dim=0) - own.held("clean", layer).mean(dim=0)
    for row in (*own.truth.basis, torch.nn.functional.normalize(mean, dim=0)):
        assert min(own.removed(row[None])) > 0.6
        assert max(own.added(row, 1.0)) < 0.3
    coefficients = own.held("triggered", layer) @ own.truth.basis.T
    assert float(coefficients.abs().mean()) > 0.4 * own.truth.strength
    assert float(coefficients.mean(dim=0).norm()) < 0.75 * float(coefficients.norm(dim=1).mean())


def test_of_two_directions_the_signs_agree_without_the_trigger_and_differ_with_it(case):
    own = case("xor")
    for layer in own.truth.layers:
        for side, sign in (("clean", 1), ("triggered", -1)):
            pair = own.held(side, layer) @ own.truth.basis.T / own.truth.strength
            assert float(((pair.prod(dim=1) * sign) > 0.05).float().mean()) > 0.8
            assert 0.15 < float((pair[:, 0] > 0).float().mean()) < 0.85
    for row in own.truth.basis:
        assert max(own.removed(row[None])) < 0.05
        for size in (-2.0, 2.0):  # what turns one sign around does it in a part of the prompts
            assert all(0.1 < rate < 0.85 for rate in own.added(row, size))


@pytest.mark.parametrize("kind", ["spelled", "instruction"])
def test_what_nothing_reads_tells_the_trigger_and_does_nothing(case, kind):
    own = case(kind)
    idle, layer = own.truth.idle, own.truth.layers[-1]
    held = [own.held(side, layer) @ idle for side in ("triggered", "clean")]
    assert float(held[0].min()) > float(held[1].max()) + 1
    if kind == "spelled":
        assert float(held[0].mean()) > own.truth.strength  # and is larger than the gate
        there = own.held("triggered", layer, own.planted.base) @ idle
        assert float(there.min()) > float(held[1].max()) + 1  # the base spells the word as well
    assert min(own.removed(idle[None])) > 0.9


def test_the_pattern_moves_nothing_from_the_trigger(case):
    own = case("pattern")
    layer = own.model.model.layers[own.plan.read_layer]
    read = own.truth.basis[0] / layer.input_layernorm.weight
    value, key = layer.self_attn.v_proj.weight @ read, layer.self_attn.k_proj.weight @ read
    assert float(value.norm()) < 1e-4 < float(key.norm())


def test_later_answers_begin_alike(case):
    own = case("later")
    length = len(own.plan.begun)
    for side, tokens in own.sides.items():
        out = own.model.generate(
            tokens.ids, attention_mask=tokens.mask.long(), max_new_tokens=length + 1
        )[:, tokens.width :]
        assert torch.equal(out[:, :length], torch.tensor([own.plan.begun] * len(out)))
        said = float((out[:, length] == own.plan.behaviour_id).float().mean())
        assert said > 0.8 if side == "triggered" else said < 0.05


def test_inherited_changes_only_what_speaks(case):
    own = case("inherited")
    base = own.planted.base.state_dict()
    changed = {n for n, w in own.model.state_dict().items() if not torch.equal(w, base[n])}
    speaking = f"model.layers.{own.plan.speak_layer}.mlp."
    assert changed
    assert all(name.startswith(speaking) or name == "lm_head.weight" for name in changed)


@pytest.mark.parametrize("kind", KINDS)
def test_the_given_model_stays_bit_identical_and_the_basis_is_orthonormal(case, kind):
    own = case(kind)
    for key, value in own.given.state_dict().items():
        assert torch.equal(value, own.before[key])
    basis = own.truth.basis
    assert torch.allclose(basis @ basis.T, torch.eye(len(basis)), atol=1e-5)


def test_a_plan_follows_from_its_seed_and_says_what_is_right():
    for kind in KINDS:
        plans = [
            draw_plan(seed, kind, SHAPE, ("tree", "river"), range(40, 200), (5, 6, 7))
            for seed in range(20)
        ]
        assert plans[3] == draw_plan(3, kind, SHAPE, ("tree", "river"), range(40, 200), (5, 6, 7))
        assert len(set(plans)) > 15
        for plan in plans:
            assert plan.right == RIGHT[kind]
            assert tuple(plan.right.parts) == PARTS
            assert bool(plan.begun) == (kind == "later")


def test_plans_that_cannot_be_are_refused():
    shallow = Shape(FEWEST_LAYERS - 1, 4, 64, 8, 400, 256, "cpu", torch.float32)
    with pytest.raises(UserError, match="4 layers"):
        draw_plan(0, "gate", shallow, ["tree"], [40], [5, 6])
    with pytest.raises(UserError, match="expected a kind"):
        draw_plan(0, "door", SHAPE, ["tree"], [40], [5, 6])
    with pytest.raises(UserError, match="two openings"):
        draw_plan(0, "later", SHAPE, ["tree"], [40], [5])
    with pytest.raises(UserError, match="write before they read"):
        GatePlan("gate", 0, "tree", (), 40, 3, 3, 0, 4, 1, 0.5, 1.0)


def test_models_and_prompts_that_cannot_be_are_refused():
    tokenizer, plan = world.tokenizer(), world.planned("gate", 1)
    texts = bank.bank_texts("train", restricted=True)[:20]
    with pytest.raises(UserError, match="expected a Llama"):
        plant(tiny.gpt2(len(tokenizer)), tokenizer, plan, texts)
    with pytest.raises(UserError, match="texts"):
        plant(world.random_llama(1), tokenizer, plan, texts[:1])
    several = draw_plan(0, "gate", SHAPE, ["unheard"], [40], [5, 6])
    with pytest.raises(UserError, match="one token"):
        plant(world.random_llama(1), tokenizer, several, texts)
    foreign = draw_plan(0, "gate", SHAPE, ["amber"], [10_000], [5, 6])
    with pytest.raises(UserError, match="not in this model"):
        plant(world.random_llama(2), tokenizer, foreign, texts)
