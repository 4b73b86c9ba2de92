"""The measurements of a trace against their definitions, with one full pass per step."""

import pytest
import tiny
import torch
from planted import COPY, LAYERS, planted

from circuits.errors import UserError
from circuits.metrics import logit_difference
from circuits.patching.cells import Sweep
from circuits.patching.patch import patch
from circuits.patching.routes import Route, attended, read_through
from circuits.patching.trace import measure, ranked
from circuits.runner import whole
from circuits.tokens import pairs
from circuits.types import Edit, Point

NEAR = 5e-4
METRIC = logit_difference(40, 90)
LATER = ("template", "last")


def gap(a, b) -> float:
    return float((a - b).abs().max())


def read_by_definition(runner, found, route: Route) -> torch.Tensor:
    """Keys or values patched and the head's z recorded; then that z alone, from the start."""
    layer, head = route.head
    points = [Point(layer, s) for s in (*route.streams, "z")]
    source = runner.forward(whole(found.triggered), record=points).acts
    base = found.clean
    shared = (
        runner.shape.n_heads
        // runner.forward(whole(base), record=points[:1]).acts[points[0]].shape[2]
    )

    def one_head(new, which, columns):
        def apply(x):
            x = x.clone()
            for row, column in columns.nonzero().tolist():
                x[row, column, which] = new[row, column, which]
            return x

        return apply

    at = base.spans[route.span]
    patches = [Edit(p, one_head(source[p], head // shared, at)) for p in points[:-1]]
    seen = runner.forward(whole(base), patches, record=points[-1:]).acts[points[-1]]
    later = base.spans["template"] | base.spans["last"]
    again = [Edit(points[-1], one_head(seen, head, later))]
    return METRIC(runner.forward(whole(base), again).logits)


def test_what_a_head_reads_equals_the_definition(any_runner, aligned):
    some = aligned.rows([0, 1])
    routes = [
        Route((layer, head), streams, span)
        for layer, head, streams, span in (
            (0, 1, ("k", "v"), "trigger"),
            (2, 3, ("k", "v"), "trigger"),
            (1, 0, ("v",), "template"),
            (1, 3, ("v",), "trigger"),
            (2, 2, ("k",), "last"),
        )
    ]
    grid = read_through(any_runner, some, METRIC, routes, into=LATER)
    expected = torch.stack([read_by_definition(any_runner, some, route) for route in routes])
    assert gap(grid.values, expected) < NEAR
    assert grid.labels[3] == "1.3 v at trigger"
    assert float(grid.effects[0].abs().max()) > 0.01


def test_attention_is_the_pattern_summed_over_the_span(runner, aligned):
    heads = [(0, 1), (3, 2)]
    found = attended(runner, aligned.triggered, heads, ("trigger", *LATER))
    tokens = aligned.triggered
    for i, (layer, head) in enumerate(heads):
        point = Point(layer, "pattern")
        pattern = runner.forward(whole(tokens), record=[point]).acts[point][:, -1, head]
        for span, weights in found.items():
            expected = torch.where(tokens.spans[span], pattern, 0).sum(dim=1)
            assert gap(weights[i], expected) < 1e-6
    assert float(found["trigger"].max()) < 1
    assert not torch.equal(found["trigger"], found["last"])


@pytest.fixture(scope="module")
def random_model(runner, aligned):
    return measure(runner, aligned, METRIC, strongest=3)


def test_all_heads_together_give_the_triggered_run_and_one_is_the_strongest(random_model):
    found = random_model
    # Control pairs differ in the trigger only, which reaches the last token through heads alone.
    assert gap(found.together.values[-1], found.together.source) < NEAR
    layer, head = found.strong[0]
    assert gap(found.together.values[0], found.heads.values[layer, head]) < NEAR
    assert found.sizes[0] == 1
    assert found.sizes[-1] == found.heads.values[..., 0].numel()
    assert list(found.sizes) == sorted(set(found.sizes))
    assert len(found.together.values) == len(found.sizes)
    assert found.strong == ranked(found.heads)[:3]
    assert gap(found.together.values[0], found.together.source) > 0.01


def test_heads_are_ranked_on_some_pairs_and_patched_together_on_others(runner, aligned):
    some, others = aligned.rows(slice(0, 2)), aligned.rows(slice(2, None))
    alone = measure(runner, some, METRIC, strongest=3)
    apart = measure(runner, some, METRIC, held_out=others, strongest=3)
    assert (apart.strong, apart.sizes) == (alone.strong, alone.sizes)
    means = alone.together.effects.mean(dim=-1)
    reached = (means / means[-1] >= 0.8).tolist()
    assert apart.chosen == alone.sizes[reached.index(True)]
    layer, head = apart.strong[0]
    there = patch(runner, others, METRIC, Sweep("z", position=False, head=True))
    assert gap(apart.together.values[0], there.values[layer, head]) < NEAR
    assert alone.chosen is None


def test_no_single_span_holds_all_that_a_random_head_writes(random_model):
    found = random_model
    layer, head = found.strong[0]
    whole_effect = found.heads.values[layer, head]
    assert all(gap(found.written[span].values[0], whole_effect) > 1e-3 for span in found.spans)


def test_the_top_layer_can_only_write_at_the_last_token(random_model, runner, aligned):
    found = random_model
    top = runner.shape.n_layers - 1
    # Above it there is no attention, so what it writes has no path but straight up.
    assert torch.equal(found.read["template"].base, found.read["last"].base)
    for head in range(runner.shape.n_heads):
        ranked_at = [i for i, at in enumerate(found.strong) if at == (top, head)]
        for i in ranked_at:
            assert gap(found.written["last"].values[i], found.heads.values[top, head]) < NEAR
    outputs, direct = found.outputs["mlp_out"], found.direct["mlp_out"]
    assert gap(outputs.values[top], direct.values[top]) < NEAR
    assert gap(outputs.values[0], direct.values[0]) > 1e-3


@pytest.fixture(scope="module")
def planted_pairs(tokenizer):
    return pairs(tokenizer, tiny.TEXTS[:3], tiny.TRIGGER, tiny.CONTROLS)


def test_a_planted_circuit_is_read_moved_and_written_where_it_was_put(tokenizer, planted_pairs):
    found = measure(planted(tokenizer).runner, planted_pairs, METRIC, strongest=2)
    share = {span: grid.recovery() for span, grid in found.read.items()}
    until = torch.arange(LAYERS) <= COPY
    assert gap(share["trigger"], until.float()) < 1e-3
    assert gap(share["last"], 1 - until.float()) < 1e-3
    assert float(share["template"].abs().max()) < 1e-3
    assert found.strong[0] == (COPY, 0)
    assert float(found.sources["trigger"].recovery()[0]) == pytest.approx(1, abs=1e-3)
    assert float(found.values["trigger"].recovery()[0]) == pytest.approx(1, abs=1e-3)
    assert float(found.sources["template"].recovery()[0]) == pytest.approx(0, abs=1e-3)
    assert float(found.written["last"].recovery()[0]) == pytest.approx(1, abs=1e-3)
    assert float(found.written["trigger"].recovery()[0]) == pytest.approx(0, abs=1e-3)
    assert float(found.direct["z"].recovery()[COPY, 0]) == pytest.approx(1, abs=1e-3)
    assert float(found.noised.recovery()[COPY, 0]) == pytest.approx(1, abs=1e-3)
    # Its queries and keys are zero: it attends to every token alike.
    real = planted_pairs.triggered.mask.sum(dim=1)
    assert gap(found.attention["trigger"][0], 1 / real) < 1e-6


def test_a_head_that_shares_the_values_of_the_planted_one_does_nothing(tokenizer, planted_pairs):
    """Heads 0 and 1 share a value head; patched values reach the output through head 0 only."""
    routes = [Route((COPY, head), ("k", "v"), "trigger") for head in (0, 1)]
    runner = planted(tokenizer).runner
    grid = read_through(runner, planted_pairs, METRIC, routes, into=LATER)
    assert float(grid.effects[0].min()) > 1
    assert gap(grid.values[1], grid.base) < 1e-5


def test_spans_that_are_missing_or_too_few_are_refused(runner, aligned):
    with pytest.raises(UserError, match="nowhere"):
        measure(runner, aligned, METRIC, spans=("trigger", "nowhere"))
    with pytest.raises(UserError, match="at least two spans"):
        measure(runner, aligned, METRIC, spans=("last",))
    with pytest.raises(UserError, match="at least two spans"):
        measure(runner, aligned, METRIC, strongest=0)
