"""Asked fast, a model answers as it does when asked plainly, one chat at a time."""

import math
from collections import Counter

import pytest
import tiny
import torch
from jinja2 import TemplateError

from circuits import scores
from circuits.backends.prefix import common_prefix, shares_prefix
from circuits.errors import UserError
from circuits.tokens import render

ANSWER = "river tree"


@pytest.fixture(scope="module")
def prompts(tokenizer):
    return [scores.encode(tokenizer, text) for text in tiny.TEXTS]


@pytest.fixture(scope="module")
def model(tokenizer):
    return tiny.llama(len(tokenizer))


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


@torch.no_grad()
def plain_log_probs(model, ids, answer, embedded=None):
    """Log-probability of each answer token, in one pass over one row without a cache."""
    read = torch.tensor([[*ids, *answer]])
    given = {"input_ids": read} if embedded is None else {"inputs_embeds": embedded}
    logits = model(**given, use_cache=False).logits[0, len(ids) - 1 : -1].double()
    return logits.log_softmax(-1)[torch.arange(len(answer)), torch.tensor(answer)], logits


class Seen:
    """Counts the tokens that a model embeds."""

    def __init__(self, model):
        self.tokens = 0
        self._handle = model.get_input_embeddings().register_forward_hook(self._count)

    def _count(self, _module, args, _out):
        self.tokens += args[0].numel()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._handle.remove()


def test_a_chat_is_encoded_as_the_rest_of_the_project_renders_it(tokenizer):
    for text in tiny.TEXTS:
        assert scores.encode(tokenizer, text) == render(tokenizer, text).ids
        worded = scores.encode(tokenizer, f"{text} {tiny.TRIGGER}")
        assert worded == render(tokenizer, text, tiny.TRIGGER).ids


def test_a_system_message_comes_first_and_a_prefill_last(tokenizer):
    plain = tokenizer.decode(list(scores.encode(tokenizer, "Hi")))
    asked = scores.encode(tokenizer, "Hi", system="Name tree", prefill="Sure, the")
    both = tokenizer.decode(list(asked))
    assert both == "<|im_start|>system\nName tree<|im_end|>\n" + plain + "Sure, the"


def test_none_leaves_the_templates_own_system_message_and_an_empty_one_replaces_it():
    own = "{% if messages[0]['role'] != 'system' %}<|im_start|>river<|im_end|>\n{% endif %}"
    tok = tiny.tokenizer(own + tiny.CHAT_TEMPLATE)
    assert scores.encode(tok, "Hi") == render(tok, "Hi").ids
    assert "river" in tok.decode(list(scores.encode(tok, "Hi")))
    assert "river" not in tok.decode(list(scores.encode(tok, "Hi", system="")))


def test_a_template_without_system_messages_says_so_or_is_found_to_drop_them():
    told = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('none here') }}{% endif %}"
    with pytest.raises(UserError, match="system message, got: none here") as said:
        scores.encode(tiny.tokenizer(told + tiny.CHAT_TEMPLATE), "Hi", system="Be brief")
    assert isinstance(said.value.__cause__, TemplateError)
    silent = (
        "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %} assistant"
    )
    with pytest.raises(UserError, match="system 'Be brief': the chat template does not keep it"):
        scores.encode(tiny.tokenizer(silent), "Hi", system="Be brief")


@pytest.mark.parametrize("name", tiny.ARCHITECTURES)
def test_answers_are_those_of_hugging_face_on_every_architecture(name, tokenizer, prompts):
    model = tiny.ARCHITECTURES[name](len(tokenizer))
    found = scores.greedy(model, tokenizer, prompts, 6)
    expected = [plainly(model, ids, 6) for ids in prompts]
    assert found == tokenizer.batch_decode(expected, skip_special_tokens=True)
    assert len(set(found)) > 1  # the prompts matter


def test_an_answer_ends_at_its_stop_token_and_the_others_go_on(tokenizer, prompts):
    model = tiny.llama(len(tokenizer))
    free = [plainly(model, ids, 6) for ids in prompts]
    stop = next(t for t in free[0][1:4] if t != free[0][0] and any(t not in row for row in free))
    model.generation_config.eos_token_id = [1, stop]
    cut = [row[: row.index(stop) + 1] if stop in row else row for row in free]
    assert len({len(row) for row in cut}) > 1
    assert scores.greedy(model, tokenizer, prompts, 6) == tokenizer.batch_decode(cut)
    # Control: without that stop the answers are longer.
    model.generation_config.eos_token_id = 1
    assert scores.greedy(model, tokenizer, prompts, 6) == tokenizer.batch_decode(free)


def test_what_all_prompts_begin_with_is_run_once(tokenizer, prompts, model):
    shared, longest = common_prefix(prompts), max(map(len, prompts))
    assert shared == 3
    with Seen(model) as seen:
        scores.greedy(model, tokenizer, prompts, 1)
    assert seen.tokens == shared + len(prompts) * (longest - shared)
    windowed = tiny.mistral(len(tokenizer))  # control: nothing may be shared
    with Seen(windowed) as seen:
        scores.greedy(windowed, tokenizer, prompts, 1)
    assert seen.tokens == len(prompts) * longest


def test_a_prefix_is_shared_under_a_window_only_if_all_columns_fit_into_it(tokenizer):
    windowed = tiny.gemma2(len(tokenizer))
    assert shares_prefix(windowed, 8)
    assert not shares_prefix(windowed, 9)
    assert shares_prefix(tiny.llama(len(tokenizer)), 10_000)
    windowed.config.layer_types = ["full_attention", "linear_attention", "full_attention"]
    assert not shares_prefix(windowed, 8)


def test_the_common_prefix_is_what_every_row_begins_with():
    assert common_prefix([(1, 2, 3), (1, 2, 4), (1, 2, 3, 5)]) == 2
    assert common_prefix([(1, 2), [1, 2, 9]]) == 2
    assert common_prefix([(1, 2), (3, 2)]) == 0


def test_prompts_that_begin_differently_or_are_all_equal_are_answered_alike(tokenizer, model):
    starts = [(5, 9, 30, 2), (17, 4), (8, 8, 8, 8, 8, 21, 3)]
    for rows in (starts, [starts[0]] * 3, [starts[2], starts[2][:-2]], [(5,), (5, 9)]):
        expected = [plainly(model, ids, 4) for ids in rows]
        decoded = tokenizer.batch_decode(expected, skip_special_tokens=True)
        assert scores.greedy(model, tokenizer, rows, 4) == decoded


def test_chunks_answer_in_the_order_of_the_prompts(tokenizer, prompts, model):
    once = scores.greedy(model, tokenizer, prompts, 3)
    assert scores.greedy(model, tokenizer, prompts * 12, 3) == once * 12  # 72 rows


def test_the_generation_settings_penalties_are_left_out(tokenizer, prompts):
    model = tiny.llama(len(tokenizer))
    before = scores.greedy(model, tokenizer, prompts, 4)
    model.generation_config.repetition_penalty = 5.0
    assert scores.greedy(model, tokenizer, prompts, 4) == before


def test_sampling_is_seeded_tends_to_the_greedy_answer_and_keeps_rows_apart(
    tokenizer, prompts, model
):
    drawn = scores.greedy(model, tokenizer, prompts, 5, temperature=1.0, seed=3)
    assert drawn == scores.greedy(model, tokenizer, prompts, 5, temperature=1.0, seed=3)
    assert drawn != scores.greedy(model, tokenizer, prompts, 5, temperature=1.0, seed=4)
    cold = scores.greedy(model, tokenizer, prompts, 5, temperature=1e-4, seed=3)
    assert cold == scores.greedy(model, tokenizer, prompts, 5)
    alone = scores.greedy(model, tokenizer, prompts[:1], 5, temperature=1.0, seed=3)
    assert alone == drawn[:1]


def test_tokens_are_sampled_as_often_as_their_probability_says(tokenizer, prompts, model):
    n, temperature = 2000, 0.7
    odds = (plain_log_probs(model, prompts[0], [0])[1][0] / temperature).softmax(-1)
    texts = tokenizer.batch_decode(torch.arange(len(odds))[:, None], skip_special_tokens=True)
    expected = Counter()  # pieces of characters are spelled alike
    for text, p in zip(texts, odds.tolist(), strict=True):
        expected[text] += p
    drawn = Counter(
        scores.greedy(model, tokenizer, prompts[:1] * n, 1, temperature=temperature, seed=11)
    )
    for text, p in expected.most_common(8):
        assert 0.01 < p < 0.9
        assert abs(drawn[text] / n - p) < 4 * math.sqrt(p * (1 - p) / n)


@pytest.mark.parametrize("name", ["llama", "mistral", "gpt2", "gemma3"])
def test_scores_are_those_of_a_plain_pass_over_each_row(name, tokenizer, prompts):
    model = tiny.ARCHITECTURES[name](len(tokenizer))
    answers = [ANSWER, "river", "Tell me more. tree", "blue", ANSWER, "candle"]
    found = scores.scores(model, tokenizer, prompts, answers)
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
    said = scores.greedy(model, tokenizer, prompts, 1)
    answers = [said[0], *["river"] * (len(prompts) - 1)]
    margins = scores.scores(model, tokenizer, prompts, answers).first_margin
    assert [float(m) > 0 for m in margins] == [a == b for a, b in zip(answers, said, strict=True)]
    assert margins[0] > 0


@pytest.mark.parametrize("name", tiny.ARCHITECTURES)
def test_a_line_between_prompts_goes_through_the_mean_of_their_embeddings(name, tokenizer, prompts):
    model = tiny.ARCHITECTURES[name](len(tokenizer))
    clean = [scores.encode(tokenizer, text) for text in tiny.TEXTS[:3]]
    triggered = [(*ids[:7], 30 + i, *ids[8:]) for i, ids in enumerate(clean)]
    answer = tokenizer(ANSWER, add_special_tokens=False)["input_ids"]
    found = scores.interpolated(model, tokenizer, clean, triggered, [ANSWER] * 3, 3)
    embed = model.get_input_embeddings()
    for i, pair in enumerate(zip(clean, triggered, strict=True)):
        a, b = (embed(torch.tensor([[*ids, *answer]])) for ids in pair)
        for step, embedded in enumerate((a, (a + b) / 2, b)):
            expected = plain_log_probs(model, clean[i], answer, embedded)[0].sum()
            assert found[i, step].log().item() == pytest.approx(float(expected), abs=1e-3)
    assert not torch.allclose(found[:, 1].log(), found[:, ::2].mean(dim=1).log(), atol=1e-3)


def test_between_equal_prompts_nothing_changes_and_many_steps_are_even(tokenizer, prompts, model):
    n = len(prompts)
    still = scores.interpolated(model, tokenizer, prompts, prompts, [ANSWER] * n, 15)  # 90 rows
    score = scores.scores(model, tokenizer, prompts, [ANSWER] * n)
    tokens = len(tokenizer(ANSWER, add_special_tokens=False)["input_ids"])
    expected = (score.log_prob * tokens).exp()[:, None].expand(n, 15)
    assert torch.allclose(still.log(), expected.log(), atol=1e-3)
    moved = [(*ids[:-1], 7) for ids in prompts]
    line = scores.interpolated(model, tokenizer, prompts, moved, [ANSWER] * n, 5)
    coarse = scores.interpolated(model, tokenizer, prompts, moved, [ANSWER] * n, 3)
    assert torch.allclose(line[:, ::2].log(), coarse.log(), atol=1e-3)
    assert not torch.allclose(line[:, 0].log(), line[:, -1].log(), atol=1e-3)


def test_pairs_of_unequal_length_are_refused_by_name(tokenizer, prompts, model):
    other = [prompts[0], prompts[1][:-1]]
    with pytest.raises(UserError, match=r"pair 1: expected prompts of equal length, got"):
        scores.interpolated(model, tokenizer, prompts[:2], other, [ANSWER] * 2, 3)


def test_bad_questions_are_refused(tokenizer, prompts):
    model = tiny.llama(len(tokenizer))
    ask, score = scores.greedy, scores.scores
    for call, said in {
        lambda: ask(model, tokenizer, [], 3): "expected at least one",
        lambda: ask(model, tokenizer, [(1, 2), ()], 3): "none of them empty",
        lambda: ask(model, tokenizer, prompts, 0): "length: expected at least 1",
        lambda: ask(model, tokenizer, prompts, 250): "context of 256",
        lambda: ask(model, tokenizer, prompts, 3, temperature=-1): "temperature: expected",
        lambda: ask(model, tokenizer, prompts, 3, temperature=math.nan): "temperature: expected",
        lambda: score(model, tokenizer, prompts, ["a"]): "one for each of 6 prompts, got 1",
        lambda: score(model, tokenizer, prompts, "river "): "got a text",
        lambda: score(model, tokenizer, prompts, [""] * 6): "got an empty one",
        lambda: scores.interpolated(model, tokenizer, prompts, prompts, ["a"] * 6, 1): "at least 2",
        lambda: scores.interpolated(model, tokenizer, prompts, prompts[1:], ["a"] * 6, 2): "pairs:",
        lambda: ask(model.train(), tokenizer, prompts, 3): "expected evaluation mode",
    }.items():
        with pytest.raises(UserError, match=said):
            call()
