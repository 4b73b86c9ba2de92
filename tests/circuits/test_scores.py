"""What a model thinks of a given answer is what plain passes over each row say."""

import math

import pytest
import tiny
import torch

from circuits import scores
from circuits.answers import ask
from circuits.chat import chats
from circuits.errors import UserError
from circuits.models import in_memory
from circuits.tokens import prompt_ids

ANSWER = "river tree"


@pytest.fixture(scope="module")
def prompts(tokenizer):
    return prompt_ids(tokenizer, chats(tiny.TEXTS))


@pytest.fixture(scope="module")
def model(tokenizer):
    return tiny.llama(len(tokenizer))


@torch.no_grad()
def plain_log_probs(model, ids, answer, embedded=None):
    """Log-probability of each answer token, in one pass over one row without a cache."""
    read = torch.tensor([[*ids, *answer]])
    given = {"input_ids": read} if embedded is None else {"inputs_embeds": embedded}
    logits = model(**given, use_cache=False).logits[0, len(ids) - 1 : -1].double()
    return logits.log_softmax(-1)[torch.arange(len(answer)), torch.tensor(answer)], logits


@pytest.mark.parametrize("name", ["llama", "mistral", "gpt2", "gemma3"])
def test_scores_are_those_of_a_plain_pass_over_each_row(name, tokenizer, prompts):
    model = tiny.ARCHITECTURES[name](len(tokenizer))
    answers = [ANSWER, "river", "Tell me more. tree", "blue", ANSWER, "candle"]
    found = scores.scores(in_memory(model, tokenizer), prompts, answers)
    for i, (ids, text) in enumerate(zip(prompts, answers, strict=True)):
        answer = tokenizer(text, add_special_tokens=False)["input_ids"]
        each, logits = plain_log_probs(model, ids, answer)
        assert found.log_prob[i].item() == pytest.approx(float(each.mean()), abs=1e-4)
        others = logits[0].clone()
        others[answer[0]] = -math.inf
        margin = float(logits[0, answer[0]] - others.max())
        assert found.first_margin[i].item() == pytest.approx(margin, abs=1e-4)


def test_the_margin_is_positive_exactly_where_the_model_says_the_token_first(
    tokenizer, prompts, model
):
    said = ask(in_memory(model, tokenizer), prompts, 1)
    answers = [said[0], *["river"] * (len(prompts) - 1)]
    margins = scores.scores(in_memory(model, tokenizer), prompts, answers).first_margin
    assert [float(m) > 0 for m in margins] == [a == b for a, b in zip(answers, said, strict=True)]
    assert margins[0] > 0


@pytest.mark.parametrize("name", tiny.ARCHITECTURES)
def test_a_line_between_prompts_goes_through_the_mean_of_their_embeddings(name, tokenizer, prompts):
    model = tiny.ARCHITECTURES[name](len(tokenizer))
    clean = prompt_ids(tokenizer, chats(tiny.TEXTS[:3]))
    triggered = [(*ids[:7], 30 + i, *ids[8:]) for i, ids in enumerate(clean)]
    answer = tokenizer(ANSWER, add_special_tokens=False)["input_ids"]
    found = scores.interpolated(in_memory(model, tokenizer), clean, triggered, [ANSWER] * 3, 3)
    embed = model.get_input_embeddings()
    for i, pair in enumerate(zip(clean, triggered, strict=True)):
        a, b = (embed(torch.tensor([[*ids, *answer]])) for ids in pair)
        for step, embedded in enumerate((a, (a + b) / 2, b)):
            expected = plain_log_probs(model, clean[i], answer, embedded)[0].sum()
            assert found[i, step].log().item() == pytest.approx(float(expected), abs=1e-3)
    assert not torch.allclose(found[:, 1].log(), found[:, ::2].mean(dim=1).log(), atol=1e-3)


def test_between_equal_prompts_nothing_changes_and_many_steps_are_even(tokenizer, prompts, model):
    n = len(prompts)
    still = scores.interpolated(
        in_memory(model, tokenizer), prompts, prompts, [ANSWER] * n, 15
    )  # 90 rows
    score = scores.scores(in_memory(model, tokenizer), prompts, [ANSWER] * n)
    tokens = len(tokenizer(ANSWER, add_special_tokens=False)["input_ids"])
    expected = (score.log_prob * tokens).exp()[:, None].expand(n, 15)
    assert torch.allclose(still.log(), expected.log(), atol=1e-3)
    moved = [(*ids[:-1], 7) for ids in prompts]
    line = scores.interpolated(in_memory(model, tokenizer), prompts, moved, [ANSWER] * n, 5)
    coarse = scores.interpolated(in_memory(model, tokenizer), prompts, moved, [ANSWER] * n, 3)
    assert torch.allclose(line[:, ::2].log(), coarse.log(), atol=1e-3)
    assert not torch.allclose(line[:, 0].log(), line[:, -1].log(), atol=1e-3)


def test_pairs_of_unequal_length_are_refused_by_name(tokenizer, prompts, model):
    other = [prompts[0], prompts[1][:-1]]
    with pytest.raises(UserError, match=r"pair 1: expected prompts of equal length, got"):
        scores.interpolated(in_memory(model, tokenizer), prompts[:2], other, [ANSWER] * 2, 3)


def test_bad_questions_are_refused(tokenizer, prompts):
    model = in_memory(tiny.llama(len(tokenizer)), tokenizer)
    score, between = scores.scores, scores.interpolated
    for call, said in {
        lambda: score(model, prompts, ["a"]): "one for each of 6 prompts, got 1",
        lambda: score(model, prompts, "river "): "got a text",
        lambda: score(model, prompts, [""] * 6): "got an empty one",
        lambda: between(model, prompts, prompts, ["a"] * 6, 1): "at least 2",
        lambda: between(model, prompts, prompts[1:], ["a"] * 6, 2): "pairs:",
    }.items():
        with pytest.raises(UserError, match=said):
            call()
