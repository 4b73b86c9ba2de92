"""Planted gates: what the plan says is true of the model, and nothing else is."""

import copy

import pytest
import tiny
import torch

from circuits.backends.transformer_lens import TLRunner
from circuits.edits.operators import add_along, project_out, project_out_subspace
from circuits.errors import UserError
from circuits.metrics import token_prob
from circuits.patching.cells import Sweep
from circuits.patching.patch import patch
from circuits.planted.plans import KINDS, GatePlan, Path, draw_plan
from circuits.planted.plant import plant
from circuits.runner import Shape, whole
from circuits.tokens import pairs
from circuits.types import Edit, Point

WORDS = (tiny.TRIGGER, *tiny.CONTROLS)
TEXTS = [
    f"{a} {b}"
    for a in ("Name", "Tell me about", "Why", "How do I", "What is", "Is the sky", "Tell me")
    for b in ("three rivers.", "the sky", "bread?", "a dog", "the sea, please")
]
FIT, TEST = TEXTS[::2], TEXTS[1::2]
SHAPE = Shape(6, 4, 64, 8, 400, 256, "cpu", torch.float32)
SEEDS = (0, 1)


def base(vocab):
    """Wide and mild enough that the norm at the trigger does not swing from prompt to prompt."""
    return tiny.llama(vocab, layers=6, hidden_size=64, initializer_range=0.1)


class Case:
    """A planted model with its test pairs."""

    def __init__(self, tokenizer, kind, seed):
        self.given = base(len(tokenizer))
        self.before = copy.deepcopy(self.given.state_dict())
        self.plan = draw_plan(seed, kind, SHAPE, WORDS, range(40, 200))
        self.planted = plant(self.given, tokenizer, self.plan, FIT)
        self.truth = self.planted.truth
        self.runner = TLRunner(self.planted.hf_model, tokenizer, "planted")
        controls = [word for word in WORDS if word != self.plan.trigger]
        self.pairs = pairs(tokenizer, TEST, self.plan.trigger, controls)

    def rate(self, tokens, layer=None, fn=None):
        """How often the answer begins with the behaviour, with an edit at the trigger."""
        edits = [Edit(Point(layer), fn, tokens.spans["trigger"])] if fn else []
        logits = self.runner.forward(whole(tokens), edits).logits
        return float((logits[:, -1].argmax(dim=-1) == self.plan.behaviour_id).float().mean())

    def removed(self, rows):
        """The rate under the trigger with rows projected out, layer by layer."""
        return [
            self.rate(self.pairs.triggered, layer, lambda x: project_out_subspace(x, rows))
            for layer in self.truth.layers
        ]

    def added(self, row, share):
        """The rate without the trigger, with a share of the strength added along a row."""
        amount = share * self.truth.strength
        return [
            self.rate(
                self.pairs.clean, layer, lambda x: add_along(x, self.truth.basis[row], amount)
            )
            for layer in self.truth.layers
        ]


@pytest.fixture(scope="module")
def case(tokenizer):
    made = {}

    def get(kind, seed=0):
        if (kind, seed) not in made:
            made[kind, seed] = Case(tokenizer, kind, seed)
        return made[kind, seed]

    return get


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["gate", "two", "rank3"])
def test_the_trigger_opens_the_gate_and_only_the_basis_closes_it(case, kind, seed):
    found = case(kind, seed)
    assert found.rate(found.pairs.triggered) == 1
    assert found.rate(found.pairs.clean) == 0
    assert max(found.removed(found.truth.basis)) == 0
    generator = torch.Generator().manual_seed(100 + seed)
    noise = torch.randn(64, found.plan.rank, generator=generator)
    assert min(found.removed(torch.linalg.qr(noise).Q.T)) > 0.9


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["gate", "two", "rank3"])
def test_each_direction_opens_the_gate_above_the_threshold_and_not_below(case, kind, seed):
    found = case(kind, seed)
    for row in range(found.plan.rank):
        assert min(found.added(row, 1.0)) == 1
        assert max(found.added(row, 0.5 * found.plan.threshold)) == 0


@pytest.mark.parametrize("kind", ["two", "rank3"])
def test_no_single_direction_is_necessary_where_several_suffice(case, kind):
    found = case(kind)
    for row in range(found.plan.rank):
        assert min(found.removed(found.truth.basis[row : row + 1])) > 0.8


def test_removing_the_mean_difference_leaves_a_gate_of_rank_three_open(case):
    for kind, least, most in (("rank3", 0.6, 1), ("gate", 0, 0)):
        found = case(kind)
        layer = found.truth.layers[-1]
        sides = []
        for tokens in (found.pairs.clean, found.pairs.triggered):
            acts = found.runner.forward(whole(tokens), record=[Point(layer)]).acts[Point(layer)]
            sides.append(acts[torch.arange(len(tokens)), tokens.span_column("trigger")])
        mean = torch.nn.functional.normalize((sides[1] - sides[0]).mean(dim=0), dim=0)
        rate = found.rate(found.pairs.triggered, layer, lambda x, m=mean: project_out(x, m))
        assert least <= rate <= most
        in_basis = torch.linalg.svdvals((sides[1] - sides[0]) @ found.truth.basis.T)
        assert float(in_basis[-1]) > 0.1 * float(in_basis[0])  # of full rank


@pytest.mark.parametrize("kind", ["gate", "two"])
def test_patching_finds_the_layers_the_tokens_and_the_heads_of_the_plan(case, kind):
    found = case(kind)
    metric = token_prob([found.plan.behaviour_id])
    heads = patch(found.runner, found.pairs, metric, Sweep("z", position=False, head=True))
    recovery = heads.recovery()
    for layer, head in found.truth.reads:
        assert float(recovery[layer, head]) > 0.9
        recovery[layer, head] = 0
    assert float(recovery.abs().max()) < 0.05

    grid = patch(found.runner, found.pairs, metric, Sweep()).recovery()
    reads = [layer for layer, _ in found.truth.reads]
    assert float(grid[: max(reads) + 1, 0].min()) > 0.9  # the trigger's column
    assert float(grid[max(reads) + 1 :, 0].abs().max()) < 0.05
    assert float(grid[max(reads) + 1 :, -1].min()) > 0.9  # the last token's
    assert float(grid[: min(reads) + 1, -1].abs().max()) < 0.05


def test_idle_is_written_and_separable_but_does_nothing(case):
    found = case("idle")
    point = Point(found.truth.layers[0])
    sides = [
        found.runner.forward(whole(tokens), record=[point]).acts[point] @ found.truth.basis[0]
        for tokens in (found.pairs.clean, found.pairs.triggered)
    ]
    column = found.pairs.clean.span_column("trigger")
    rows = torch.arange(len(column))
    assert float(sides[1][rows, column].min()) > 0.5 * found.truth.strength
    assert float(sides[0].abs().max()) < 1e-3
    assert found.truth.reads == ()
    assert found.rate(found.pairs.triggered) == found.rate(found.pairs.clean) == 0
    assert max(found.added(0, 2.0)) == 0


def test_none_plants_nothing(case):
    found = case("none")
    assert found.truth.basis.shape == (0, 64)
    assert found.runner.hf_model is not found.given
    logits = found.given(found.pairs.triggered.ids, attention_mask=found.pairs.triggered.mask)
    expected = found.runner.forward(whole(found.pairs.triggered)).logits[:, -1]
    assert torch.allclose(logits.logits[:, -1], expected, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_given_model_stays_bit_identical_and_the_axes_are_orthonormal(case, kind):
    found = case(kind)
    for key, value in found.given.state_dict().items():
        assert torch.equal(value, found.before[key])
    axes = torch.cat([found.truth.basis, found.truth.writes])
    assert torch.allclose(axes @ axes.T, torch.eye(len(axes)), atol=1e-5)


def test_a_plan_follows_from_its_seed():
    for kind in KINDS:
        plans = [draw_plan(seed, kind, SHAPE, WORDS, range(40, 200)) for seed in range(20)]
        assert plans[3] == draw_plan(3, kind, SHAPE, WORDS, range(40, 200))
        assert len(set(plans)) > 15
        assert all(plan.layers for plan in plans if kind != "none")


def test_plans_that_cannot_be_are_refused(tokenizer):
    shallow = Shape(2, 4, 64, 8, 400, 256, "cpu", torch.float32)
    with pytest.raises(UserError, match="4 layers"):
        draw_plan(0, "gate", shallow, WORDS, [40])
    with pytest.raises(UserError, match="expected a kind"):
        draw_plan(0, "door", SHAPE, WORDS, [40])
    with pytest.raises(UserError, match="write < read"):
        GatePlan("gate", 0, "tree", 40, (Path(3, 3, 0),), 4, 1, 0.5, 1.0)


def test_models_and_prompts_that_cannot_be_are_refused(tokenizer):
    plan = draw_plan(0, "gate", SHAPE, WORDS, [40])
    with pytest.raises(UserError, match="expected a Llama"):
        plant(tiny.gpt2(len(tokenizer)), tokenizer, plan, FIT)
    with pytest.raises(UserError, match="texts"):
        plant(base(len(tokenizer)), tokenizer, plan, FIT[:1])
    several = draw_plan(0, "gate", SHAPE, ["unheard"], [40])
    with pytest.raises(UserError, match="one token"):
        plant(base(len(tokenizer)), tokenizer, several, FIT)
    foreign = draw_plan(0, "gate", SHAPE, WORDS, [10_000])
    with pytest.raises(UserError, match="not in this model"):
        plant(base(len(tokenizer)), tokenizer, foreign, FIT)
