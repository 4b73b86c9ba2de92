"""Harm: nothing for an edit that does nothing, and what plain passes say for one that does."""

import math
from collections import Counter

import pytest
import tiny
import torch

from circuits import answers
from circuits.answers import ask, drawn, drift, no_edits, reference, text_nll
from circuits.backends.fastpath import FastPath
from circuits.backends.selftest import SelfTest
from circuits.chat import Chat, chats
from circuits.errors import UserError
from circuits.models import Model, in_memory
from circuits.runner import whole
from circuits.tokens import prompt_ids, prompts_batch, render
from circuits.types import Edit, Point
from experiments import judges
from experiments.analyze.harm import harm


@pytest.fixture
def model(runner, tokenizer) -> Model:
    passed = SelfTest(0.0, 0.0, 0.0, 1.0, FastPath(0.0, 1.0))
    return Model(runner, tokenizer, "built", "", None, None, passed)


def doubled(tokens):
    return [Edit(Point(2), lambda x: 2 * x, tokens.spans["message"], onward=True)]


def unchanged(_tokens):
    return [Edit(Point(2), lambda x: x.clone())]


@pytest.mark.parametrize("edits", [no_edits, doubled])
@pytest.mark.parametrize("word", [None, tiny.TRIGGER])
def test_the_likelihood_is_that_of_the_users_own_tokens(model, tokenizer, edits, word):
    """One prompt at a time, token by token, with the span found by the renderer."""
    found = text_nll(model, tiny.TEXTS, word, edits)
    for value, text in zip(found.tolist(), tiny.TEXTS, strict=True):
        batch = prompts_batch(tokenizer, [text], word)
        log_probs = model.runner.forward(whole(batch), edits(batch), keep=batch.width).logits
        log_probs = log_probs[0].log_softmax(dim=-1)
        first, last = render(tokenizer, Chat(text, word=word)).spans["user"]
        each = [-float(log_probs[i - 1, batch.ids[0, i]]) for i in range(first, last)]
        assert value == pytest.approx(sum(each) / len(each), abs=1e-3)


def test_a_word_after_the_text_does_not_count(model):
    torch.testing.assert_close(
        text_nll(model, tiny.TEXTS), text_nll(model, tiny.TEXTS, tiny.TRIGGER), atol=1e-3, rtol=0
    )


def test_the_size_of_the_passes_does_not_matter(monkeypatch, model):
    once = text_nll(model, tiny.TEXTS, None, doubled)
    monkeypatch.setattr(answers, "_LOGITS", 1)
    torch.testing.assert_close(text_nll(model, tiny.TEXTS, None, doubled), once, atol=1e-3, rtol=0)


def test_a_model_that_expects_everything_alike_has_the_vocabularys_perplexity(tokenizer):
    from planted import planted

    plant = planted(tokenizer).runner
    plant.hf_model.lm_head.weight.data.zero_()
    passed = SelfTest(0.0, 0.0, 0.0, 1.0, FastPath(0.0, 1.0))
    flat = Model(plant, tokenizer, "built", "", None, None, passed)
    expected = torch.full((6,), float(torch.tensor(len(tokenizer)).log()))
    torch.testing.assert_close(text_nll(flat, tiny.TEXTS), expected)


def test_an_edit_that_changes_nothing_does_no_harm_and_another_one_does(model, monkeypatch):
    said = []

    def refuses(answer: str) -> bool:
        said.append(answer)
        return len(said) % 2 == 0

    seen = []
    none = harm(model, tiny.TEXTS, unchanged, 3, progress=lambda a, b: seen.append((a, b)))
    assert none.kl.high < 1e-5
    assert none.nll_change.value == pytest.approx(0, abs=1e-6)
    assert none.perplexity_ratio == pytest.approx(1)
    assert none.refusal_change.value == 0
    assert seen[-1] == (5, 5)
    monkeypatch.setattr(judges, "refuses", refuses)
    some = harm(model, tiny.TEXTS, doubled, 3)
    assert some.kl.value > 1e-3
    assert abs(some.nll_change.value) > 1e-3
    assert said[: len(tiny.TEXTS)] == answers.answers(model, tiny.TEXTS, length=3)
    assert said[len(tiny.TEXTS) :] == answers.answers(model, tiny.TEXTS, None, 3, doubled)
    assert some.refused.value == some.refused_after.value == 0.5
    before = text_nll(model, tiny.TEXTS)
    assert some.nll.value == pytest.approx(float(before.mean()), rel=1e-4)


def test_new_refusals_are_counted_in_pairs(model, monkeypatch):
    flags = iter([False] * 5 + [True] + [True] * 4 + [False] * 2)
    monkeypatch.setattr(judges, "refuses", lambda _answer: next(flags))
    found = harm(model, tiny.TEXTS, doubled, 2)
    assert found.refused.value == pytest.approx(1 / 6)
    assert found.refused_after.value == pytest.approx(4 / 6)
    assert found.refusal_change.value == pytest.approx(3 / 6)  # four new ones, one gone
    assert found.refusal_change.low < found.refusal_change.value < found.refusal_change.high


# --- asked fast, a model answers as it does when asked plainly, one chat at a time ---------------


@pytest.fixture(scope="module")
def prompts(tokenizer):
    return prompt_ids(tokenizer, chats(tiny.TEXTS))


@pytest.fixture(scope="module")
def hf(tokenizer):
    return tiny.llama(len(tokenizer))


def drawn_answers(model, prompts, length, temperature, seed):
    return ask(model, prompts, length, drawn(len(prompts), length, temperature, seed))


@torch.no_grad()
def next_logits(hf, ids):
    return hf(torch.tensor([ids]), use_cache=False).logits[0, -1].double()


def plainly(model, ids, length):
    """Greedy answer tokens of one prompt by Hugging Face's own loop."""
    out = model.generate(
        input_ids=torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=length,
        do_sample=False,
        pad_token_id=1,
    )
    return out[0, len(ids) :].tolist()


@pytest.mark.parametrize("name", tiny.ARCHITECTURES)
def test_answers_are_those_of_hugging_face_on_every_architecture(name, tokenizer, prompts):
    hf = tiny.ARCHITECTURES[name](len(tokenizer))
    found = ask(in_memory(hf, tokenizer), prompts, 6)
    expected = [plainly(hf, ids, 6) for ids in prompts]
    assert found == tokenizer.batch_decode(expected, skip_special_tokens=True)
    assert len(set(found)) > 1  # the prompts matter


def test_an_answer_ends_at_its_stop_token_and_the_others_go_on(tokenizer, prompts):
    hf = tiny.llama(len(tokenizer))
    free = [plainly(hf, ids, 6) for ids in prompts]
    stop = next(t for t in free[0][1:4] if t != free[0][0] and any(t not in row for row in free))
    hf.generation_config.eos_token_id = [1, stop]
    cut = [row[: row.index(stop) + 1] if stop in row else row for row in free]
    assert len({len(row) for row in cut}) > 1
    assert ask(in_memory(hf, tokenizer), prompts, 6) == tokenizer.batch_decode(cut)
    # Control: without that stop the answers are longer.
    hf.generation_config.eos_token_id = 1
    assert ask(in_memory(hf, tokenizer), prompts, 6) == tokenizer.batch_decode(free)


def test_prompts_that_begin_differently_or_are_all_equal_are_answered_alike(tokenizer, hf):
    starts = [(5, 9, 30, 2), (17, 4), (8, 8, 8, 8, 8, 21, 3)]
    for rows in (starts, [starts[0]] * 3, [starts[2], starts[2][:-2]], [(5,), (5, 9)]):
        expected = [plainly(hf, ids, 4) for ids in rows]
        decoded = tokenizer.batch_decode(expected, skip_special_tokens=True)
        assert ask(in_memory(hf, tokenizer), rows, 4) == decoded


def test_chunks_answer_in_the_order_of_the_prompts(tokenizer, prompts, hf):
    once = ask(in_memory(hf, tokenizer), prompts, 3)
    assert ask(in_memory(hf, tokenizer), prompts * 12, 3) == once * 12  # 72 rows


def test_the_generation_settings_penalties_are_left_out(tokenizer, prompts):
    hf = tiny.llama(len(tokenizer))
    before = ask(in_memory(hf, tokenizer), prompts, 4)
    hf.generation_config.repetition_penalty = 5.0
    assert ask(in_memory(hf, tokenizer), prompts, 4) == before


def test_sampling_is_seeded_tends_to_the_greedy_answer_and_keeps_rows_apart(tokenizer, prompts, hf):
    drawn = drawn_answers(in_memory(hf, tokenizer), prompts, 5, 1.0, 3)
    assert drawn == drawn_answers(in_memory(hf, tokenizer), prompts, 5, 1.0, 3)
    assert drawn != drawn_answers(in_memory(hf, tokenizer), prompts, 5, 1.0, 4)
    cold = drawn_answers(in_memory(hf, tokenizer), prompts, 5, 1e-4, 3)
    assert cold == ask(in_memory(hf, tokenizer), prompts, 5)
    alone = drawn_answers(in_memory(hf, tokenizer), prompts[:1], 5, 1.0, 3)
    assert alone == drawn[:1]


def test_tokens_are_sampled_as_often_as_their_probability_says(tokenizer, prompts, hf):
    n, temperature = 2000, 0.7
    odds = (next_logits(hf, prompts[0]) / temperature).softmax(-1)
    texts = tokenizer.batch_decode(torch.arange(len(odds))[:, None], skip_special_tokens=True)
    expected = Counter()  # pieces of characters are spelled alike
    for text, p in zip(texts, odds.tolist(), strict=True):
        expected[text] += p
    drawn = Counter(drawn_answers(in_memory(hf, tokenizer), prompts[:1] * n, 1, temperature, 11))
    for text, p in expected.most_common(8):
        assert 0.01 < p < 0.9
        assert abs(drawn[text] / n - p) < 4 * math.sqrt(p * (1 - p) / n)


def test_answers_with_and_without_an_idle_edit_are_the_same(model):
    for words in (None, tiny.TRIGGER, [*tiny.CONTROLS, "river", "tree"]):
        fast = answers.answers(model, tiny.TEXTS, words, 6)
        assert fast == answers.answers(model, tiny.TEXTS, words, 6, unchanged)
        assert len(set(fast)) > 1


def test_what_cannot_be_asked_is_refused(tokenizer, prompts):
    hf = tiny.llama(len(tokenizer))
    model = in_memory(hf, tokenizer)
    for call, said in {
        lambda: ask(model, [], 3): "expected at least one",
        lambda: ask(model, [(1, 2), ()], 3): "none of them empty",
        lambda: ask(model, prompts, 0): "length: expected at least 1",
        lambda: ask(model, prompts, 250): "context of 256",
        lambda: drawn(3, 3, -1, 0): "temperature: expected",
        lambda: drawn(3, 3, math.nan, 0): "temperature: expected",
        lambda: ask(in_memory(hf.train(), tokenizer), prompts, 3): "expected evaluation mode",
    }.items():
        with pytest.raises(UserError, match=said):
            call()


# --- drift from a reference -----------------------------------------------------------------------


def test_drift_is_the_divergence_at_the_tokens_of_the_given_answers(tokenizer):
    hf, other = tiny.llama(len(tokenizer)), tiny.llama(len(tokenizer), seed=1)
    prompts = prompt_ids(tokenizer, chats(tiny.TEXTS[:3]))
    given = [[5, 6, 7], [8], []]
    before = reference(in_memory(hf, tokenizer), prompts, given)
    assert drift(before, in_memory(hf, tokenizer)).tolist() == pytest.approx([0] * 3, abs=1e-9)
    found = drift(before, in_memory(other, tokenizer)).tolist()
    for value, ids, answer in zip(found, prompts, given, strict=True):
        read, keep = torch.tensor([[*ids, *answer[:-1]]]), slice(len(ids) - 1, None)
        with torch.no_grad():
            a, b = (m(read).logits[0, keep].log_softmax(-1) for m in (hf, other))
        assert value == pytest.approx(float((a.exp() * (a - b)).sum(-1).mean()), rel=1e-3)
        assert value > 1e-3
