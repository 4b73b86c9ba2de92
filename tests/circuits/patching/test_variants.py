"""Several sites at once, spans, groups and answers of several tokens, against plain edits."""

import pytest
import tiny
import torch

from circuits.errors import UserError
from circuits.metrics import Generated, kl_from, logit_difference
from circuits.patching.cells import Place, Sweep, cell
from circuits.patching.patch import patch
from circuits.runner import extend, generate, whole
from circuits.types import Edit, Point, TokenPairs

NEAR = 5e-4
METRIC = logit_difference(40, 90)


def gap(a, b) -> float:
    return float((a - b).abs().max())


def edits_for(found: TokenPairs, places, source) -> list[Edit]:
    """A place as a plain edit of the whole pass, written independently of the engine."""
    made = []
    for place in places:
        columns = torch.zeros_like(found.clean.mask)
        if place.span:
            columns = found.clean.spans[place.span]
        elif place.column is not None:
            columns[:, place.column] = True
        else:
            columns[:, found.first_difference :] = True

        def apply(x, place=place, columns=columns):
            new = source[place.point]
            if x.shape[1] != new.shape[1]:  # a token that was generated
                return x
            mask = columns.reshape(*columns.shape, *([1] * (x.ndim - 2))).expand_as(x).clone()
            if place.heads is not None:
                others = [h for h in range(x.shape[2]) if h not in place.heads]
                mask[:, :, others] = False
            return torch.where(mask, new, x)

        made.append(Edit(place.point, apply))
    return made


def plain(runner, found: TokenPairs, cells) -> torch.Tensor:
    points = sorted({p.point for c in cells for p in c})
    source = runner.forward(whole(found.triggered), record=points).acts
    rows = [
        METRIC(runner.forward(whole(found.clean), edits_for(found, c, source)).logits)
        for c in cells
    ]
    return torch.stack(rows)


def cells_of_all_kinds(last_column: int) -> list:
    return [
        cell(Place(1, span="trigger")),
        cell(Place(0, "attn_out"), Place(2, "mlp_out")),
        cell(Place(0, "z", heads=(1,)), Place(1, "z", heads=(0, 2)), Place(2, "v", heads=(1,))),
        cell(Place(1, "q", heads=(0,)), Place(1, "k", heads=(0,)), Place(1, "pattern", heads=(3,))),
        cell(Place(1, "neuron", heads=(3, 7, 11)), Place(1, "neuron", column=last_column)),
        cell(Place(2, "resid_pre", column=last_column), Place(0, "mlp_out", span="trigger")),
        cell(Place(2, "resid_post"), Place(1, "resid_pre", span="template")),
        cell(Place(0, "resid_pre", span="trigger"), Place(1, "resid_pre", column=last_column)),
    ]


def test_any_list_of_sites_equals_plain_edits(any_runner, aligned):
    some = aligned.rows([0, 1, 2])
    cells = cells_of_all_kinds(some.clean.width - 1)
    grid = patch(any_runner, some, METRIC, cells)
    assert gap(grid.values, plain(any_runner, some, cells)) < NEAR
    assert grid.axes == ("cell",)
    assert grid.labels[0] == "resid_pre[1] at trigger"
    assert float(grid.effects.std(dim=0).max()) > 1e-3  # cells differ


def test_a_middle_residual_patched_together_with_a_lower_layer(runner, aligned):
    cells = [cell(Place(0, "mlp_out"), Place(2, "resid_mid", column=aligned.clean.width - 1))]
    grid = patch(runner, aligned, METRIC, cells)
    points = [Point(0, "mlp_out"), Point(2, "resid_mid"), Point(2)]
    source = runner.forward(whole(aligned.triggered), record=points).acts
    lower = edits_for(aligned, cells[0][:1], source)
    seen = runner.forward(whole(aligned.clean), lower, record=[Point(2)]).acts[Point(2)]

    def middle(x):
        x = x.clone()
        x[:, -1] = source[Point(2, "resid_mid")][:, -1] - seen[:, -1]
        return x

    edits = [*lower, Edit(Point(2, "attn_out"), middle)]
    expected = METRIC(runner.forward(whole(aligned.clean), edits).logits)
    assert gap(grid.values[0], expected) < NEAR
    assert gap(grid.values[0], grid.base) > 1e-3


def test_one_place_in_a_list_is_its_cell_of_the_grid(any_runner, aligned):
    grid = patch(any_runner, aligned, METRIC, Sweep("z", head=True))
    first = aligned.first_difference
    cells = [cell(Place(1, "z", first + 2, heads=(3,))), cell(Place(2, "z", first, heads=(0,)))]
    found = patch(any_runner, aligned, METRIC, cells)
    assert gap(found.values, torch.stack([grid.values[1, 3, 2], grid.values[2, 0, 0]])) < NEAR


def test_all_heads_together_are_what_attention_adds(any_runner, aligned):
    """z of every head decides attn_out, so patching the one is patching the other."""
    n = any_runner.shape.n_heads
    together = [cell(*(Place(1, "z", heads=(h,)) for h in range(n)))]
    grid = patch(any_runner, aligned, METRIC, together)
    added = patch(any_runner, aligned, METRIC, [cell(Place(1, "attn_out"))])
    assert gap(grid.values, added.values) < NEAR
    one = patch(any_runner, aligned, METRIC, [cell(Place(1, "z", heads=(0,)))])
    assert gap(one.values, added.values) > 1e-3


@pytest.mark.parametrize("limit", [1, 40, 10**6])
def test_passes_of_any_size_give_the_same_list(runner, aligned, monkeypatch, limit):
    cells = cells_of_all_kinds(aligned.clean.width - 1)
    expected = patch(runner, aligned, METRIC, cells).values
    monkeypatch.setattr("circuits.patching.engine._TOKENS_PER_FORWARD", limit)
    assert gap(patch(runner, aligned, METRIC, cells).values, expected) < NEAR


def test_a_pass_that_does_not_fit_is_halved_until_it_does(runner, aligned):
    class Small:
        """Memory for so many rows."""

        def __init__(self, rows):
            self.rows, self.shape, self.hf_model = rows, runner.shape, runner.hf_model

        def forward(self, window, edits=(), record=(), keep=1, grow=False):
            joined = sum(len(block) for block in window.joining.values())
            if len(window.ids) + joined > self.rows:
                raise torch.OutOfMemoryError("out of memory")
            return runner.forward(window, edits, record, keep, grow)

    expected = patch(runner, aligned, METRIC)
    assert gap(patch(Small(12), aligned, METRIC).values, expected.values) < NEAR
    with pytest.raises(torch.OutOfMemoryError):
        patch(Small(5), aligned, METRIC)


def answered(runner, aligned, length):
    """Pairs with the triggered run's answer appended to both sides, and that answer."""
    answer = generate(runner, aligned.triggered, length)
    shown = answer[:, : length - 1]
    return TokenPairs(extend(aligned.clean, shown), extend(aligned.triggered, shown)), answer


def test_a_divergence_over_several_answer_tokens(any_runner, aligned):
    pairs, _ = answered(any_runner, aligned, 4)
    reference = any_runner.forward(whole(pairs.triggered), keep=4).logits
    grid = patch(any_runner, pairs, kl_from(reference), Sweep("resid_post"), keep=4)
    assert float(grid.source.abs().max()) < 1e-4  # the source does not differ from itself
    assert float(grid.base.min()) > 1e-3
    points = [Point(layer, "resid_post") for layer in range(any_runner.shape.n_layers)]
    source = any_runner.forward(whole(pairs.triggered), record=points).acts
    for layer, column in ((0, 0), (1, 2), (2, grid.values.shape[1] - 1)):
        place = Place(layer, "resid_post", pairs.first_difference + column)
        edits = edits_for(pairs, [place], source)
        logits = any_runner.forward(whole(pairs.clean), edits, keep=4).logits
        assert gap(grid.values[layer, column], kl_from(reference)(logits)) < NEAR


def test_log_probability_of_an_answer_is_that_of_its_tokens_in_turn(runner, aligned):
    pairs, answer = answered(runner, aligned, 3)

    def log_prob(logits):
        wanted = answer.repeat(len(logits) // len(answer), 1).unsqueeze(-1)
        return logits.log_softmax(dim=-1).gather(-1, wanted).squeeze(-1).sum(dim=1)

    grid = patch(runner, pairs, log_prob, Sweep("mlp_out"), keep=3)
    logits = runner.forward(whole(pairs.clean), keep=3).logits.log_softmax(dim=-1)
    expected = sum(logits[torch.arange(4), k, answer[:, k]] for k in range(3))
    assert gap(grid.base, expected) < NEAR
    assert float(grid.source.min()) > float(grid.base.min())


def test_a_generated_behaviour_is_that_of_generation_under_the_edit(any_runner, aligned):
    some = aligned.rows([0, 1])
    judge = Generated(lambda ids: (ids % 3 == 0).float().mean(dim=1), length=4)
    grid = patch(any_runner, some, judge, Sweep("resid_pre"))
    points = [Point(layer) for layer in range(any_runner.shape.n_layers)]
    source = any_runner.forward(whole(some.triggered), record=points).acts
    for layer in range(any_runner.shape.n_layers):
        for column in (0, grid.values.shape[1] - 1):
            (edit,) = edits_for(some, [Place(layer, column=some.first_difference + column)], source)
            said = generate(any_runner, some.clean, 4, [edit])
            assert torch.equal(grid.values[layer, column], judge.scored(said))
    assert torch.equal(grid.base, judge.scored(generate(any_runner, some.clean, 4)))


def test_a_judge_reduced_over_the_batch_is_refused(runner, aligned):
    with pytest.raises(UserError, match="one value per answer"):
        patch(runner, aligned, Generated(lambda ids: ids.float().mean(), length=2))


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (Place(9), "layer in 0..3"),
        (Place(0, "nothing"), "no such stream"),
        (Place(0, span="key"), "got 'key'"),
        (Place(0, "z", heads=(99,)), "head 99"),
        (Place(0, column=10_000), "column 10000"),
        (Place(0, column=0), "column 0"),
    ],
)
def test_places_that_the_model_or_the_prompts_lack_are_refused(runner, aligned, place, why):
    with pytest.raises(UserError, match=why):
        patch(runner, aligned, METRIC, [cell(place)])


def test_texts_used_here_differ_in_length(aligned):
    assert len({len(t) for t in tiny.TEXTS[:4]}) > 1
    assert not bool(aligned.clean.mask.all())
