"""A window, a past and a resumed layer are only ways to compute less: nothing they give differs."""

from itertools import pairwise

import pytest
import tiny
import torch

from circuits.chat import Chat
from circuits.errors import UserError
from circuits.models import BACKENDS
from circuits.runner import Window, extend, generate, prefix, whole
from circuits.tokens import batch as make_batch
from circuits.tokens import render
from circuits.types import Edit, Point

NEAR = 2e-4


@pytest.fixture(scope="module", params=BACKENDS)
def runner(request, tokenizer):
    """A random Llama of four layers, on every back-end."""
    return BACKENDS[request.param](tiny.llama(len(tokenizer)), tokenizer, "llama")


def gap(a, b) -> float:
    return float((a - b).abs().max())


def logits(runner, window, edits=(), keep=1):
    return runner.forward(window, edits, keep=keep).logits


def tripled(layer) -> Edit:
    """An edit that matters."""
    return Edit(Point(layer), lambda x: 3 * x)


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
    assert (
        gap(logits(any_runner, Window(batch.ids[:, width:], batch.mask, other)), full[:, -1:])
        > 0.01
    )


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
    any_runner.forward(window, [tripled(0)], grow=True)
    assert past.width == half
    assert torch.equal(logits(any_runner, window), first)


def test_a_batch_equals_its_rows_one_by_one_whatever_the_padding(any_runner, tokenizer, batch):
    together = logits(any_runner, whole(batch))
    for row, text in enumerate(batch.texts):
        one = make_batch(tokenizer, [render(tokenizer, Chat(text, word=tiny.TRIGGER))])
        for more in (0, batch.width + 7 - one.width):
            ids, mask = (torch.nn.functional.pad(x, (more, 0)) for x in (one.ids, one.mask))
            alone = logits(any_runner, Window(ids, mask))
            assert gap(alone[0], together[row]) < NEAR
            assert gap(alone[0], together[row - 1]) > 0.01


def test_what_stands_in_padding_does_not_matter(any_runner, batch):
    other = torch.where(batch.mask, batch.ids, 7)
    assert not torch.equal(other, batch.ids)
    assert (
        gap(logits(any_runner, Window(other, batch.mask)), logits(any_runner, whole(batch))) < NEAR
    )


def test_generation_equals_hugging_faces_greedy_generation(any_runner, batch):
    length = 10
    theirs = any_runner.hf_model.generate(
        input_ids=batch.ids,
        attention_mask=batch.mask.long(),
        max_new_tokens=length,
        min_new_tokens=length,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=1,
    )[:, batch.width :]
    ours = generate(any_runner, batch, length)
    assert torch.equal(ours, theirs)
    assert not torch.equal(generate(any_runner, batch, length, [tripled(1)]), theirs)


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


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_callers_tokenizer_is_left_as_it_was(backend):
    theirs = tiny.tokenizer()
    BACKENDS[backend](tiny.llama(len(theirs)), theirs, "llama")
    for name in ("bos_token", "eos_token", "pad_token", "padding_side"):
        assert getattr(theirs, name) == getattr(tiny.tokenizer(), name)


def test_rows_that_join_at_a_layer_equal_rows_resumed_on_their_own(any_runner, batch):
    half, last = batch.width - 6, any_runner.shape.n_layers - 1
    past = prefix(any_runner, batch, half)
    acts = any_runner.forward(whole(batch), record=[Point(1), Point(last)]).acts
    extra = {layer: 2 * acts[Point(layer)][:, half:] for layer in (1, last)}
    extra[1] = torch.cat([extra[1], -extra[1]])  # two variants at once
    ids = batch.ids[:, half:]
    joined = logits(any_runner, Window(ids, batch.mask, past, joining=extra))
    assert len(joined) == 4 * len(batch)
    alone = [logits(any_runner, Window(ids, batch.mask, past))]
    for layer, block in (
        (1, extra[1][: len(batch)]),
        (1, extra[1][len(batch) :]),
        (last, extra[last]),
    ):
        alone.append(logits(any_runner, Window(ids, batch.mask, past, block, layer)))
    assert gap(joined, torch.cat(alone)) < NEAR
    assert min(gap(a, b) for a, b in pairwise(alone)) > 0.01


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("part", ["", "model.layers.1.self_attn"])
def test_a_model_in_training_mode_is_refused(backend, part, tokenizer, batch):
    model = tiny.llama(len(tokenizer), attention_dropout=0.5)
    runner = BACKENDS[backend](model, tokenizer, "llama")
    before = logits(runner, whole(batch))
    trained = runner.hf_model.get_submodule(part)
    trained.train()
    with pytest.raises(UserError, match=r"expected evaluation mode, got training mode .* \.eval"):
        logits(runner, whole(batch))
    runner.hf_model.eval()
    assert torch.equal(logits(runner, whole(batch)), before)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_active_dropout_is_refused_by_its_name(backend, tokenizer, batch):
    runner = BACKENDS[backend](tiny.gpt2(len(tokenizer)), tokenizer, "gpt2")
    logits(runner, whole(batch))
    next(m for m in runner.hf_model.modules() if isinstance(m, torch.nn.Dropout)).train()
    with pytest.raises(UserError, match=r"dropout on\) in \S*drop\S*; call"):
        logits(runner, whole(batch))
