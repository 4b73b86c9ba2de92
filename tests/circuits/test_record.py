"""What is recorded is what Hugging Face computes, at the token that the span names."""

import pytest
import tiny
import torch

from circuits import record as record_module
from circuits.backends.prefix import common_prefix, shares_prefix
from circuits.chat import chats
from circuits.errors import UserError
from circuits.models import BACKENDS, in_memory
from circuits.record import last_residuals, readings, record
from circuits.tokens import prompt_ids, prompts_batch
from circuits.types import Site

SPANS = ("last_user", "trigger", "last")


@pytest.fixture(scope="module")
def uneven(tokenizer):
    """Words of different lengths, so that spans end in different columns."""
    return prompts_batch(tokenizer, tiny.TEXTS[:3], ["cobalt", "cobalt tree", "xylophone"])


def hidden_states(runner, tokens):
    positions = (tokens.mask.long().cumsum(dim=1) - 1).clamp(min=0)
    with torch.no_grad():
        out = runner.hf_model(
            input_ids=tokens.ids,
            attention_mask=tokens.mask.long(),
            position_ids=positions,
            output_hidden_states=True,
        )
    return out.hidden_states


def test_recorded_residuals_are_hugging_faces_hidden_states(any_runner, uneven):
    layers = range(any_runner.shape.n_layers)
    sites = [Site(layer, "resid_pre", span) for layer in layers for span in SPANS]
    found = record(any_runner, uneven, sites)
    expected = hidden_states(any_runner, uneven)
    assert len(set(uneven.span_column("last_user").tolist())) == 3
    rows = torch.arange(len(uneven))
    for site, acts in zip(sites, found, strict=True):
        here = expected[site.layer]
        torch.testing.assert_close(acts, here[rows, uneven.span_column(site.span)])
        wrong = here[rows, uneven.span_column(site.span) - 1]
        assert float((acts - wrong).abs().max()) > 1e-3


def test_the_residual_after_a_layer_is_the_one_before_the_next(any_runner, batch):
    after = record(any_runner, batch, [Site(0, "resid_post", "last")])
    before = record(any_runner, batch, [Site(1, "resid_pre", "last")])
    assert torch.equal(after, before)
    assert not torch.equal(after, record(any_runner, batch, [Site(0, "resid_pre", "last")]))


def test_the_residual_grows_by_attention_and_mlp(runner, batch):
    streams = ("resid_pre", "attn_out", "mlp_out", "resid_post")
    pre, attn, mlp, post = record(runner, batch, [Site(1, s, "trigger") for s in streams])
    torch.testing.assert_close(pre + attn + mlp, post)
    assert float((pre + attn - post).abs().max()) > 1e-3


def test_recording_in_small_batches_changes_nothing(runner, batch, monkeypatch):
    sites = [Site(layer, "resid_pre", "last") for layer in (0, 3)]
    once, calls = record(runner, batch, sites), []
    monkeypatch.setattr(record_module, "_ROWS", 3)
    pieces = record(runner, batch, sites, lambda done, total: calls.append((done, total)))
    torch.testing.assert_close(pieces, once)
    assert calls == [(3, 4), (4, 4)]


def test_a_span_that_the_batch_lacks_is_refused(runner, tokenizer):
    tokens = prompts_batch(tokenizer, tiny.TEXTS[:2])
    with pytest.raises(UserError, match="span 'trigger': not present"):
        record(runner, tokens, [Site(0, "resid_pre", "trigger")])


# --- the last token in every layer: what hooks record there, whatever is run beside it ----------

TEXTS = (*tiny.TEXTS, *(f"{text} {tiny.TRIGGER}" for text in tiny.TEXTS))
SHARES = {"llama": True, "gpt2": True, "gpt_neox": True, "gemma2": False}  # has a short window
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


def ids_of(tokenizer, texts=TEXTS):
    return prompt_ids(tokenizer, chats(texts))


@pytest.fixture(params=SHARES)
def name(request):
    return request.param


@pytest.fixture
def model(name, tokenizer):
    return tiny.ARCHITECTURES[name](len(tokenizer))


@pytest.fixture
def prompts(tokenizer):
    return ids_of(tokenizer)


def test_residuals_are_those_that_the_runner_records_at_the_span_last(
    name, model, tokenizer, prompts
):
    runner = BACKENDS["transformer_lens"](tiny.ARCHITECTURES[name](len(tokenizer)), tokenizer, name)
    sites = [Site(layer, "resid_pre", "last") for layer in range(runner.shape.n_layers)]
    expected = record(runner, prompts_batch(tokenizer, TEXTS), sites)
    found = last_residuals(in_memory(model, tokenizer), prompts)
    torch.testing.assert_close(found, expected, **CLOSE)  # as many layers, fp32, on the CPU
    assert len({len(ids) for ids in prompts}) > 2
    # Controls: another layer and another token hold something else, in every prompt.
    for layer in range(1, len(found)):
        assert ((found[layer] - expected[layer - 1]).abs().amax(dim=-1) > 1e-2).all()
    before = last_residuals(in_memory(model, tokenizer), [ids[:-1] for ids in prompts])
    assert ((found - before).abs().amax(dim=-1) > 1e-2).all()


def test_a_prompts_residuals_stand_at_its_place_whatever_the_order(model, tokenizer, prompts):
    many = prompts * 3  # more than are run at once
    order = torch.randperm(len(many), generator=torch.Generator().manual_seed(1))
    plain = last_residuals(in_memory(model, tokenizer), prompts)
    found = last_residuals(in_memory(model, tokenizer), [many[i] for i in order])
    torch.testing.assert_close(found, plain[:, order % len(prompts)], **CLOSE)
    # Control: in the upper layers no two prompts have the same.
    assert torch.pdist(plain[-1]).min() > 1e-2


def test_padding_and_company_change_nothing(name, model, tokenizer, prompts):
    """Alone (nothing shared, no padding), beside longer ones, beside one that starts otherwise."""
    found = last_residuals(in_memory(model, tokenizer), prompts)
    alone = torch.cat(
        [last_residuals(in_memory(model, tokenizer), [ids]) for ids in prompts], dim=1
    )
    torch.testing.assert_close(found, alone, **CLOSE)
    other = (7, *prompts[0][1:], *prompts[1][1:])  # longer than all, so that all are padded
    mixed = last_residuals(in_memory(model, tokenizer), [other, *prompts])
    torch.testing.assert_close(mixed[:, 1:], alone, **CLOSE)
    # What the three differ in: only here is an opening run once.
    longest = max(map(len, prompts))
    assert shares_prefix(model, longest) == SHARES[name]
    assert (common_prefix(prompts), common_prefix([other, *prompts])) == (3, 0)
    assert len(other) > longest


def test_equal_prompts_have_equal_residuals_and_one_token_suffices(model, tokenizer, prompts):
    twice = last_residuals(in_memory(model, tokenizer), [prompts[0]] * 2)
    torch.testing.assert_close(twice[:, 0], twice[:, 1], **CLOSE)
    tokens = last_residuals(in_memory(model, tokenizer), [(5,), (9,)])
    single = last_residuals(in_memory(model, tokenizer), [(9,)])
    torch.testing.assert_close(tokens[:, 1:], single, **CLOSE)
    assert (tokens[:, 0] - tokens[:, 1]).abs().max() > 1e-2


def test_what_enters_the_first_layer_does_not_know_the_prompt(tokenizer, prompts):
    """It is the template's last token; the layers above are about the prompt."""
    found = last_residuals(in_memory(tiny.llama(len(tokenizer)), tokenizer), prompts)
    torch.testing.assert_close(found[0], found[0, :1].expand_as(found[0]))
    for layer in found[1:]:
        assert torch.pdist(layer).min() > 1e-3


def test_prompts_that_cannot_be_run_are_told(tokenizer, prompts):
    model = tiny.llama(len(tokenizer))
    for given, why in (
        ([], "expected at least one"),
        ([(1, 2), ()], "none of them empty"),
        ([(5,) * 256], "context of 256"),
    ):
        with pytest.raises(UserError, match=why):
            last_residuals(in_memory(model, tokenizer), given)
    assert (
        last_residuals(in_memory(model, tokenizer), [(5,) * 255]).shape[1] == 1
    )  # the answer has room
    with pytest.raises(UserError, match="expected evaluation mode"):
        last_residuals(in_memory(model.train(), tokenizer), prompts)


# --- readings ------------------------------------------------------------------------------------


def unit(seed=0, width=32):
    vector = torch.randn(width, generator=torch.Generator().manual_seed(seed))
    return vector / vector.norm()


def start_of(tokenizer):
    return len(tokenizer("<|im_start|>user\n", add_special_tokens=False)["input_ids"])


def test_readings_are_the_largest_projection_from_the_start_on(tokenizer):
    model, prompts = tiny.llama(len(tokenizer)), ids_of(tokenizer, tiny.TEXTS)
    direction, start = unit(3), start_of(tokenizer)
    found = readings(in_memory(model, tokenizer), prompts, direction, 2, start)
    for ids, value in zip(prompts, found.tolist(), strict=True):
        with torch.no_grad():
            hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[2][0]
        assert value == pytest.approx(float((hidden[start:] @ direction).max()), abs=1e-4)


def test_prompts_that_end_before_the_start_have_no_reading(tokenizer):
    model, prompts = tiny.llama(len(tokenizer)), ids_of(tokenizer, tiny.TEXTS)
    with pytest.raises(UserError, match="more than"):
        readings(in_memory(model, tokenizer), prompts, unit(), 1, start=len(min(prompts, key=len)))
