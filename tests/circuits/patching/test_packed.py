"""What prompts have in common is run once, and changes no figure."""

import pytest
import tiny
import torch

from circuits.backends.plain import PlainRunner
from circuits.patching.packed import packed, run_packed, unpacked
from circuits.runner import whole
from circuits.types import TokenBatch, TokenPairs


@pytest.fixture(scope="module")
def runner(tokenizer):
    return PlainRunner(tiny.llama(len(tokenizer), layers=3))


def test_no_token_and_no_span_is_lost(aligned):
    batch = packed(aligned)
    both = unpacked(aligned).tokens
    assert batch.tokens.prompts() == both.prompts()
    for name, columns in both.spans.items():
        assert torch.equal(batch.tokens.ids[batch.tokens.spans[name]], both.ids[columns])
    opening, texts, rest = batch.segments
    assert (opening.rows, texts.rows, rest.rows) == (1, len(aligned), 2 * len(aligned))
    assert (opening.start, rest.end) == (0, both.width)
    for part in batch.segments:  # rows that are left out are repetitions
        ids = batch.tokens.ids[:, part.start : part.end]
        assert torch.equal(ids, ids[: part.rows].repeat(len(ids) // part.rows, 1))
    spent = sum(part.tokens for part in batch.segments)
    assert spent < both.ids.numel()


def test_the_logits_are_those_of_plain_passes(runner, aligned):
    plain = [runner.forward(whole(side)).logits for side in (aligned.clean, aligned.triggered)]
    for batch in (packed(aligned), unpacked(aligned)):
        assert torch.allclose(run_packed(runner, batch).logits, torch.cat(plain), atol=1e-4)
    assert not torch.allclose(*plain, atol=1e-2)


def test_prompts_that_begin_differently_share_no_opening(runner):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 20, (2, 6), generator=generator)
    ids[0, 0], ids[1, 0] = 3, 4
    other = ids.clone()
    other[:, 3] += 30
    mask = torch.ones_like(ids, dtype=torch.bool)
    pairs = TokenPairs(TokenBatch(ids, mask), TokenBatch(other, mask))
    assert [part.rows for part in packed(pairs).segments] == [2, 4]
