"""A window, a past and a resumed layer are only ways to compute less: nothing they give differs."""

import pytest
import tiny
import torch

from circuits.edits import add_along, project_out
from circuits.errors import UserError
from circuits.runner import Window, extend, generate, prefix, whole
from circuits.tl_runner import TLRunner
from circuits.tokens import batch as make_batch
from circuits.tokens import prompts_batch, render
from circuits.types import Edit, Point

NEAR = 2e-4
STREAMS = ("resid_pre", "resid_post", "attn_out", "mlp_out", "z")


def gap(a, b) -> float:
    return float((a - b).abs().max())


def logits(runner, window, edits=(), keep=1):
    return runner.forward(window, edits, keep=keep).logits


def push(point, columns=None, seed=0) -> Edit:
    """Adds three times a random unit vector to the last dimension."""

    def apply(x):
        d = torch.randn(x.shape[-1], generator=torch.Generator().manual_seed(seed))
        return add_along(x, d / d.norm(), 3.0)

    return Edit(point, apply, columns)


def hook_count(runner) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in runner.bridge.modules())


@pytest.mark.parametrize("stream", STREAMS)
def test_an_identity_edit_is_bit_identical_and_a_real_one_is_not(any_runner, batch, stream):
    plain = logits(any_runner, whole(batch))
    for layer in range(any_runner.shape.n_layers):
        point = Point(layer, stream)
        same = logits(any_runner, whole(batch), [Edit(point, lambda x: x.clone())])
        assert torch.equal(same, plain)
        assert gap(logits(any_runner, whole(batch), [push(point)]), plain) > 0.01


def test_a_window_after_a_shared_prefix_equals_the_whole(any_runner, batch):
    full = logits(any_runner, whole(batch), keep=batch.width)
    for width in (1, batch.width // 2, batch.width - 1):
        past = prefix(any_runner, batch, width)
        rest = Window(batch.ids[:, width:], batch.mask, past)
        found = logits(any_runner, rest, keep=batch.width)
        assert found.shape[1] == batch.width - width
        real = batch.mask[:, width:]
        assert gap(found[real], full[:, width:][real]) < NEAR
    other = prefix(any_runner, batch.rows([1, 2, 3, 0]), width)
    assert gap(logits(any_runner, Window(batch.ids[:, width:], batch.mask, other)), full[:, -1:]) > 0.01


def test_resuming_at_any_layer_equals_the_whole(any_runner, batch):
    layers = range(any_runner.shape.n_layers)
    out = any_runner.forward(whole(batch), record=[Point(layer) for layer in layers])
    for layer in layers:
        resid = out.acts[Point(layer)]
        for given, near in ((resid, True), (resid.flip(0), False)):
            window = Window(batch.ids, batch.mask, resid=given, layer=layer)
            assert (gap(logits(any_runner, window), out.logits) < NEAR) == near


def test_resuming_needs_only_the_residuals_not_the_tokens(any_runner, batch):
    out = any_runner.forward(whole(batch), record=[Point(1)])
    window = Window(torch.zeros_like(batch.ids), batch.mask, resid=out.acts[Point(1)], layer=1)
    assert gap(logits(any_runner, window), out.logits) < NEAR


def test_resuming_after_a_shared_prefix_equals_the_whole(any_runner, batch):
    half = batch.width - 6
    past = prefix(any_runner, batch, half)
    layers = range(any_runner.shape.n_layers)
    out = any_runner.forward(whole(batch), record=[Point(layer) for layer in layers])
    for layer in layers:
        resid = out.acts[Point(layer)][:, half:]
        window = Window(batch.ids[:, half:], batch.mask, past, resid, layer)
        assert gap(logits(any_runner, window), out.logits) < NEAR


def test_chosen_rows_of_a_past_serve_chosen_rows_of_a_window(any_runner, batch):
    half = batch.width - 4
    past = prefix(any_runner, batch, half)
    full = logits(any_runner, whole(batch))
    index = torch.tensor([2, 0, 0, 3, 1])
    assert past.count == len(batch)
    assert past.rows(index).count == len(index)
    window = Window(batch.ids[index][:, half:], batch.mask[index], past.rows(index))
    assert gap(logits(any_runner, window), full[index]) < NEAR


def test_a_shortened_past_is_the_past_of_fewer_columns(any_runner, batch):
    past = prefix(any_runner, batch, batch.width - 2)
    full = logits(any_runner, whole(batch))
    for width in (1, batch.width // 2):
        assert past.upto(width).width == width
        window = Window(batch.ids[:, width:], batch.mask, past.upto(width))
        assert gap(logits(any_runner, window), full) < NEAR
    assert past.width == batch.width - 2


def test_a_past_is_never_changed_by_its_use(any_runner, batch):
    half = batch.width - 4
    past = prefix(any_runner, batch, half)
    window = Window(batch.ids[:, half:], batch.mask, past)
    first = logits(any_runner, window)
    any_runner.forward(window, [push(Point(0))], grow=True)
    assert past.width == half
    assert torch.equal(logits(any_runner, window), first)


def test_a_batch_equals_its_rows_one_by_one_whatever_the_padding(any_runner, tokenizer, batch):
    together = logits(any_runner, whole(batch))
    for row, text in enumerate(batch.texts):
        one = render(tokenizer, text, tiny.TRIGGER)
        for width in (None, batch.width + 7):
            alone = logits(any_runner, whole(make_batch(tokenizer, [one], width)))
            assert gap(alone[0], together[row]) < NEAR
            assert gap(alone[0], together[row - 1]) > 0.01


def test_what_stands_in_padding_does_not_matter(any_runner, batch):
    other = torch.where(batch.mask, batch.ids, 7)
    assert not torch.equal(other, batch.ids)
    assert gap(logits(any_runner, Window(other, batch.mask)), logits(any_runner, whole(batch))) < NEAR


def test_generation_equals_hugging_faces_greedy_generation(any_runner, batch):
    length = 10
    theirs = any_runner.hf_model.generate(
        input_ids=batch.ids, attention_mask=batch.mask.long(), max_new_tokens=length,
        min_new_tokens=length, do_sample=False, eos_token_id=None, pad_token_id=1,
    )[:, batch.width :]  # fmt: skip
    ours = generate(any_runner, batch, length)
    assert torch.equal(ours, theirs)
    assert not torch.equal(generate(any_runner, batch, length, [push(Point(1))]), theirs)


def test_generation_repeats_the_stop_token_after_it(runner, batch):
    free = generate(runner, batch, 6)
    stop = int(free[0, 2])
    ended = generate(runner, batch, 6, stop=[stop])
    at = free[0].tolist().index(stop)
    assert ended[0, at:].tolist() == [stop] * (6 - at)
    assert torch.equal(ended[:, : at + 1], free[:, : at + 1])
    assert free[0, at:].tolist() != [stop] * (6 - at)


def test_generation_equals_the_whole_pass_over_the_extended_batch(runner, batch):
    answer = generate(runner, batch, 5)
    full = extend(batch, answer)
    predicted = logits(runner, whole(full), keep=6)[:, :-1].argmax(dim=-1)
    assert torch.equal(predicted, answer)
    assert torch.equal(full.spans["trigger"][:, : batch.width], batch.spans["trigger"])
    assert not full.spans["last"][:, batch.width :].any()


@pytest.mark.parametrize("stream", STREAMS)
def test_an_edit_with_columns_touches_only_those_columns(any_runner, batch, stream):
    point, columns = Point(1, stream), batch.spans["trigger"]
    plain = any_runner.forward(whole(batch), record=[point]).acts[point]
    edited = any_runner.forward(whole(batch), [push(point, columns)], record=[point]).acts[point]
    assert torch.equal(edited[~columns], plain[~columns])
    assert float((edited - plain)[columns].flatten(1).norm(dim=1).min()) > 1


def test_columns_of_an_edit_are_absolute_whatever_the_window(any_runner, batch):
    half = int(batch.spans["trigger"].nonzero()[:, 1].min()) - 1
    edit = push(Point(1), batch.spans["trigger"])
    full = logits(any_runner, whole(batch), [edit])
    window = Window(batch.ids[:, half:], batch.mask, prefix(any_runner, batch, half))
    assert gap(logits(any_runner, window, [edit]), full) < NEAR
    assert gap(logits(any_runner, window), full) > 0.01


def test_edits_without_columns_reach_generated_tokens_and_others_do_not(runner, batch):
    seen: list[int] = []

    def spy(x):
        seen.append(x.shape[1])
        return torch.zeros_like(x)

    generate(runner, batch, 4, [Edit(Point(2), spy)])
    assert seen == [batch.width, 1, 1, 1]
    everywhere = push(Point(2))
    full = extend(batch, generate(runner, batch, 4, [everywhere]))
    predicted = logits(runner, whole(full), [everywhere], keep=5)[:, :-1].argmax(dim=-1)
    assert torch.equal(predicted, full.ids[:, batch.width :])
    prompt_only = everywhere.on(torch.ones_like(batch.mask))
    full = extend(batch, generate(runner, batch, 4, [prompt_only]))
    predicted = logits(runner, whole(full), [prompt_only], keep=5)[:, :-1].argmax(dim=-1)
    assert torch.equal(predicted, full.ids[:, batch.width :])
    assert not torch.equal(
        logits(runner, whole(full), [prompt_only]), logits(runner, whole(full), [everywhere])
    )


def test_edits_at_one_point_apply_in_order_and_recording_sees_the_last(runner, batch):
    point = Point(1)
    edits = [Edit(point, lambda x: x + 1), Edit(point, lambda x: x * 2)]
    plain = runner.forward(whole(batch), record=[point]).acts[point]
    found = runner.forward(whole(batch), edits, record=[point]).acts[point]
    assert torch.equal(found, (plain + 1) * 2)


def test_a_head_edit_sees_heads(any_runner, batch):
    """Zeroing every head at once is zeroing the attention's output before its projection."""
    shapes = []

    def only_first(x):
        shapes.append(tuple(x.shape[2:]))
        return torch.cat([torch.zeros_like(x[:, :, :1]), x[:, :, 1:]], dim=2)

    point = Point(0, "z")
    z = any_runner.forward(whole(batch), [Edit(point, only_first)], record=[point]).acts[point]
    assert shapes == [(any_runner.shape.n_heads, any_runner.shape.d_head)]
    assert not z[:, :, 0].any()
    assert z[:, :, 1].any()


@pytest.mark.parametrize("name", tiny.ARCHITECTURES)
def test_no_use_changes_weights_or_leaves_a_hook(name, tokenizer, batch):
    runner = TLRunner(tiny.ARCHITECTURES[name](len(tokenizer)), tokenizer, name)
    runner.forward(whole(batch))  # the bridge wires hooks of its own when first used
    before = {k: v.clone() for k, v in runner.hf_model.state_dict().items()}
    hooks, forwards = hook_count(runner), [dict(b.__dict__) for b in runner.bridge.blocks]
    resid = runner.forward(whole(batch), record=[Point(1)]).acts[Point(1)]
    window = Window(batch.ids, batch.mask, resid=resid, layer=1)

    def fail(x):
        raise RuntimeError("an edit failed")

    for edit in (push(Point(1)), push(Point(0, "z")), Edit(Point(2), fail)):
        for seen in (whole(batch), window):
            if edit.apply is fail:
                with pytest.raises(RuntimeError, match="an edit failed"):
                    runner.forward(seen, [edit], record=[Point(0)])
            else:
                runner.forward(seen, [edit], record=[Point(1)])
    after = runner.hf_model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert hook_count(runner) == hooks
    assert [b.__dict__.keys() for b in runner.bridge.blocks] == [f.keys() for f in forwards]


def test_the_callers_tokenizer_is_left_as_it_was(tokenizer):
    theirs = tiny.tokenizer()
    TLRunner(tiny.llama(len(theirs)), theirs, "llama")
    for name in ("bos_token", "eos_token", "pad_token", "padding_side"):
        assert getattr(theirs, name) == getattr(tiny.tokenizer(), name)


@pytest.mark.parametrize("point", [Point(4), Point(-1), Point(0, "soul")])
def test_a_point_that_is_not_there_is_refused(runner, batch, point):
    with pytest.raises(UserError, match="expected a layer|no such stream"):
        runner.forward(whole(batch), record=[point])


def test_projecting_out_of_the_last_column_alone_changes_less_than_everywhere(runner, tokenizer):
    """Positions that are not edited keep their own answers: causality."""
    tokens = prompts_batch(tokenizer, tiny.TEXTS[:2])
    d = torch.eye(32)[3]
    edit = Edit(Point(1), lambda x: project_out(x, d), tokens.spans["last"])
    plain = logits(runner, whole(tokens), keep=4)
    found = logits(runner, whole(tokens), [edit], keep=4)
    assert torch.equal(found[:, :-1], plain[:, :-1])
    assert gap(found[:, -1], plain[:, -1]) > 1e-3
