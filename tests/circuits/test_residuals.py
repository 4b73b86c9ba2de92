"""What is read at the last token is what the hooks record there, whatever is run beside it."""

import pytest
import tiny
import torch

from circuits.backends.prefix import common_prefix, shares_prefix
from circuits.errors import UserError
from circuits.models import BACKENDS
from circuits.record import record
from circuits.residuals import last_residuals
from circuits.tokens import prompts_batch, render
from circuits.types import Site

TEXTS = (*tiny.TEXTS, *(f"{text} {tiny.TRIGGER}" for text in tiny.TEXTS))
SHARES = {"llama": True, "gpt2": True, "gpt_neox": True, "gemma2": False}  # has a short window
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


def ids_of(tokenizer, texts=TEXTS):
    return [render(tokenizer, text).ids for text in texts]


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
    found = last_residuals(model, tokenizer, prompts)
    torch.testing.assert_close(found, expected, **CLOSE)  # as many layers, fp32, on the CPU
    assert len({len(ids) for ids in prompts}) > 2
    # Controls: another layer and another token hold something else, in every prompt.
    for layer in range(1, len(found)):
        assert ((found[layer] - expected[layer - 1]).abs().amax(dim=-1) > 1e-2).all()
    before = last_residuals(model, tokenizer, [ids[:-1] for ids in prompts])
    assert ((found - before).abs().amax(dim=-1) > 1e-2).all()


def test_a_prompts_residuals_stand_at_its_place_whatever_the_order(model, tokenizer, prompts):
    many = prompts * 3  # more than are run at once
    order = torch.randperm(len(many), generator=torch.Generator().manual_seed(1))
    plain = last_residuals(model, tokenizer, prompts)
    found = last_residuals(model, tokenizer, [many[i] for i in order])
    torch.testing.assert_close(found, plain[:, order % len(prompts)], **CLOSE)
    # Control: in the upper layers no two prompts have the same.
    assert torch.pdist(plain[-1]).min() > 1e-2


def test_padding_and_company_change_nothing(name, model, tokenizer, prompts):
    """Alone (nothing shared, no padding), beside longer ones, beside one that starts otherwise."""
    found = last_residuals(model, tokenizer, prompts)
    alone = torch.cat([last_residuals(model, tokenizer, [ids]) for ids in prompts], dim=1)
    torch.testing.assert_close(found, alone, **CLOSE)
    other = (7, *prompts[0][1:], *prompts[1][1:])  # longer than all, so that all are padded
    mixed = last_residuals(model, tokenizer, [other, *prompts])
    torch.testing.assert_close(mixed[:, 1:], alone, **CLOSE)
    # What the three differ in: only here is an opening run once.
    longest = max(map(len, prompts))
    assert shares_prefix(model, longest) == SHARES[name]
    assert (common_prefix(prompts), common_prefix([other, *prompts])) == (3, 0)
    assert len(other) > longest


def test_equal_prompts_have_equal_residuals_and_one_token_suffices(model, tokenizer, prompts):
    twice = last_residuals(model, tokenizer, [prompts[0]] * 2)
    torch.testing.assert_close(twice[:, 0], twice[:, 1], **CLOSE)
    tokens = last_residuals(model, tokenizer, [(5,), (9,)])
    single = last_residuals(model, tokenizer, [(9,)])
    torch.testing.assert_close(tokens[:, 1:], single, **CLOSE)
    assert (tokens[:, 0] - tokens[:, 1]).abs().max() > 1e-2


def test_what_enters_the_first_layer_does_not_know_the_prompt(tokenizer, prompts):
    """It is the template's last token; the layers above are about the prompt."""
    found = last_residuals(tiny.llama(len(tokenizer)), tokenizer, prompts)
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
            last_residuals(model, tokenizer, given)
    assert last_residuals(model, tokenizer, [(5,) * 255]).shape[1] == 1  # the answer has room
    with pytest.raises(UserError, match="expected evaluation mode"):
        last_residuals(model.train(), tokenizer, prompts)
