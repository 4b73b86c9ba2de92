"""Path patching against its definition, with one full pass per step and sender."""

import pytest
import torch

from circuits.errors import UserError
from circuits.metrics import logit_difference
from circuits.patching.cells import Place, Sweep, cell
from circuits.patching.patch import patch
from circuits.patching.path_patch import path_patch
from circuits.runner import whole
from circuits.types import Edit, Point

NEAR = 5e-4
METRIC = logit_difference(40, 90)
HEADS = Sweep("z", position=False, head=True)


def swapped(source, head=None):
    def apply(x):
        x = x.clone()
        if head is None:
            return source.clone()
        x[:, :, head] = source[:, :, head]
        return x

    return apply


def by_definition(runner, found, sender: Place, receivers, held="all") -> torch.Tensor:
    layers = range(runner.shape.n_layers)
    points = [Point(i, s) for i in layers for s in ("z", "attn_out", "mlp_out")]
    base = runner.forward(whole(found.clean), record=points).acts
    source = runner.forward(whole(found.triggered), record=points).acts
    head = sender.heads[0] if sender.heads else None
    own = "attn_out" if sender.stream == "z" else sender.stream
    edits = [Edit(sender.point, swapped(source[sender.point], head))]
    for i in layers:
        for stream in ("attn_out", "mlp_out") if held == "all" else ("attn_out",):
            if (i, stream) != (sender.layer, own):
                edits.append(Edit(Point(i, stream), swapped(base[Point(i, stream)])))
    if receivers == "logits":
        return METRIC(runner.forward(whole(found.clean), edits).logits)
    wanted = [p.point for p in receivers]
    seen = runner.forward(whole(found.clean), edits, record=wanted).acts
    again = [Edit(p.point, swapped(seen[p.point], p.heads[0])) for p in receivers]
    return METRIC(runner.forward(whole(found.clean), again).logits)


def gap(a, b) -> float:
    return float((a - b).abs().max())


@pytest.mark.parametrize("held", ["all", "attention"])
def test_paths_from_heads_to_the_logits_equal_the_definition(any_runner, aligned, held):
    some = aligned.rows([0, 1])
    grid = path_patch(any_runner, some, METRIC, HEADS, held=held)
    expected = torch.stack(
        [
            by_definition(any_runner, some, Place(i, "z", heads=(h,)), "logits", held)
            for i in range(any_runner.shape.n_layers)
            for h in range(any_runner.shape.n_heads)
        ]
    )
    assert gap(grid.values.flatten(0, 1), expected) < NEAR
    assert grid.axes == ("layer", "head")
    assert float(grid.effects.abs().max()) > 0.01


@pytest.mark.parametrize("stream", ["q", "k", "v"])
def test_paths_into_a_head_equal_the_definition(any_runner, aligned, stream):
    some, last = aligned.rows([0, 1]), any_runner.shape.n_layers - 1
    receivers = [Place(last, stream, heads=(1,)), Place(last - 1, stream, heads=(0,))]
    senders = [
        cell(Place(0, "z", heads=(2,))),
        cell(Place(0, "mlp_out")),
        cell(Place(1, "attn_out")),
        cell(Place(last, "mlp_out")),
    ]
    grid = path_patch(any_runner, some, METRIC, senders, receivers)
    expected = torch.stack([by_definition(any_runner, some, c, receivers) for (c,) in senders])
    assert gap(grid.values, expected) < NEAR
    assert grid.axes == ("sender",)
    assert not grid.effects[-1].any()  # nothing lies above the last layer: exactly no path
    assert float(grid.effects[:-1].abs().max()) > 1e-3


def test_all_direct_paths_out_of_one_layer_differ_from_patching_it(runner, aligned):
    """Patching also counts what later layers make of it; a direct path does not."""
    sweep = Sweep("attn_out", position=False)
    direct = path_patch(runner, aligned, METRIC, sweep)
    total = patch(runner, aligned, METRIC, sweep)
    assert gap(direct.values[0], total.values[0]) > 0.01
    free = path_patch(runner, aligned, METRIC, sweep, held="attention")
    assert gap(free.values[0], direct.values[0]) > 1e-3


def test_in_the_last_layer_an_mlp_has_only_its_direct_path(any_runner, aligned):
    sweep = Sweep("mlp_out", position=False)
    direct = path_patch(any_runner, aligned, METRIC, sweep)
    total = patch(any_runner, aligned, METRIC, sweep)
    assert gap(direct.values[-1], total.values[-1]) < NEAR
    assert float(total.effects[-1].abs().max()) > 0.01


def test_noising_and_denoising_are_one_thing_with_the_sides_exchanged(runner, aligned):
    from circuits.types import TokenPairs

    exchanged = TokenPairs(aligned.triggered, aligned.clean)
    receivers = [Place(2, "v", heads=(0,))]
    a = path_patch(runner, aligned, METRIC, HEADS, receivers, direction="noising")
    b = path_patch(runner, exchanged, METRIC, HEADS, receivers)
    assert torch.equal(a.values, b.values)


@pytest.mark.parametrize(
    ("senders", "receivers", "why"),
    [
        ([cell(Place(0, "resid_pre"))], "logits", "sender resid_pre"),
        ([cell(Place(0, "z"))], [Place(1, "z")], "receiver z"),
        ([cell(Place(0, "z"))], [], "at least one receiver"),
        ([cell(Place(0, "z"))], "output", "receivers or 'logits'"),
        ([cell(Place(0, "z"), Place(1, "z"))], "logits", "in one layer"),
        ([], "logits", "at least one cell"),
    ],
)
def test_other_senders_and_receivers_are_refused(runner, aligned, senders, receivers, why):
    with pytest.raises(UserError, match=why):
        path_patch(runner, aligned, METRIC, senders, receivers)
