"""An edit happens where it says and nowhere else, and leaves the model as it was."""

import pytest
import tiny
import torch

from circuits.edits.operators import add_along, project_out
from circuits.errors import UserError
from circuits.models import BACKENDS
from circuits.runner import Window, extend, generate, prefix, whole
from circuits.tokens import prompts_batch
from circuits.types import Edit, Point

NEAR = 2e-4
STREAMS = ("resid_pre", "resid_post", "attn_out", "mlp_out", "z")


@pytest.fixture(scope="module", params=BACKENDS)
def runner(request, tokenizer):
    """A random Llama of four layers, on every back-end."""
    return BACKENDS[request.param](tiny.llama(len(tokenizer)), tokenizer, "llama")


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


def traces(runner) -> list:
    """What a pass could leave behind in any module: hooks, and replaced methods."""
    modules = getattr(runner, "bridge", runner.hf_model).modules()
    return [
        (
            len(m._forward_hooks),
            len(m._forward_pre_hooks),
            set(m.__dict__),
            m.__dict__.get("forward"),
        )
        for m in modules
    ]


@pytest.mark.parametrize("stream", STREAMS)
def test_an_identity_edit_is_bit_identical_and_a_real_one_is_not(any_runner, batch, stream):
    plain = logits(any_runner, whole(batch))
    for layer in range(any_runner.shape.n_layers):
        point = Point(layer, stream)
        same = logits(any_runner, whole(batch), [Edit(point, lambda x: x.clone())])
        assert torch.equal(same, plain)
        assert gap(logits(any_runner, whole(batch), [push(point)]), plain) > 0.01


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


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", tiny.ARCHITECTURES)
def test_no_use_changes_weights_or_leaves_a_hook(backend, name, tokenizer, batch):
    runner = BACKENDS[backend](tiny.ARCHITECTURES[name](len(tokenizer)), tokenizer, name)
    plain = logits(runner, whole(batch))  # the bridge wires hooks of its own when first used
    before = {k: v.clone() for k, v in runner.hf_model.state_dict().items()}
    left = traces(runner)
    resid = runner.forward(whole(batch), record=[Point(1)]).acts[Point(1)]
    window = Window(batch.ids, batch.mask, resid=resid, layer=1)

    def fail(x):
        raise RuntimeError("an edit failed")

    for edit in (push(Point(1)), push(Point(1, "z")), Edit(Point(2), fail)):
        for seen in (whole(batch), window):
            if edit.apply is fail:
                with pytest.raises(RuntimeError, match="an edit failed"):
                    runner.forward(seen, [edit], record=[Point(0)])
            else:
                assert gap(logits(runner, seen, [edit]), plain) > 1e-3
    after = runner.hf_model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert traces(runner) == left
    assert torch.equal(logits(runner, whole(batch)), plain)


@pytest.mark.parametrize("point", [Point(4), Point(-1), Point(0, "soul")])
def test_a_point_that_is_not_there_is_refused(runner, batch, point):
    for asked in ({"record": [point]}, {"edits": [push(point)]}):
        with pytest.raises(UserError, match=r"expected a layer|no such stream"):
            runner.forward(whole(batch), **asked)


def test_projecting_out_of_the_last_column_alone_changes_less_than_everywhere(runner, tokenizer):
    """Positions that are not edited keep their own answers: causality."""
    tokens = prompts_batch(tokenizer, tiny.TEXTS[:2])
    d = torch.eye(32)[3]
    edit = Edit(Point(1), lambda x: project_out(x, d), tokens.spans["last"])
    plain = logits(runner, whole(tokens), keep=4)
    found = logits(runner, whole(tokens), [edit], keep=4)
    assert torch.equal(found[:, :-1], plain[:, :-1])
    assert gap(found[:, -1], plain[:, -1]) > 1e-3


def test_an_onward_edit_reaches_what_is_generated_and_no_other_column(runner, tokenizer):
    tokens = prompts_batch(tokenizer, tiny.TEXTS[:2])
    seen = []

    def marked(x):
        seen.append(x.shape[1])
        return torch.zeros_like(x)

    nowhere = torch.zeros_like(tokens.mask)
    plain = generate(runner, tokens, 4)
    point = Point(1)
    kept = generate(runner, tokens, 4, [Edit(point, marked, nowhere)])
    assert torch.equal(kept, plain)
    changed = generate(runner, tokens, 4, [Edit(point, marked, nowhere, onward=True)])
    assert torch.equal(changed[:, 0], plain[:, 0])
    assert not torch.equal(changed, plain)


def test_the_message_span_starts_at_the_users_text_and_grows_with_the_answer(tokenizer):
    tokens = prompts_batch(tokenizer, tiny.TEXTS[:2])
    for row, text in enumerate(tokens.texts):
        spelled = tokenizer.decode(tokens.ids[row][tokens.spans["message"][row]])
        assert spelled.lstrip().startswith(text)
    longer = extend(tokens, torch.zeros(2, 3, dtype=torch.long))
    assert bool(longer.spans["message"][:, -3:].all())
    assert not bool(longer.spans["last"][:, -3:].any())
