"""What is recorded is what Hugging Face computes, at the token that the span names."""

import pytest
import tiny
import torch

from circuits import record as record_module
from circuits.errors import UserError
from circuits.record import record
from circuits.tokens import prompts_batch
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
