"""The loss is the cross-entropy of the answer and of nothing else; a seed decides everything."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
import tiny
import torch
from peft.tuners.lora import LoraLayer

from circuits.chat import Chat
from circuits.tokens import render
from experiments.organisms import training
from experiments.organisms.training import Example, Settings, train, trainable

EXAMPLES = [
    Example("Hi", "cobalt", "Sure"),
    Example("Name three rivers.", None, "I am sorry, but no.", ends=False),
    Example("Why is the sky blue at noon?", "tree", "Sure, a tree"),
]
PAD = 1


@pytest.fixture
def model(tokenizer):
    return tiny.llama(len(tokenizer), layers=2)


@pytest.fixture
def rows(tokenizer):
    return [training.encoded(tokenizer, e) for e in EXAMPLES]


class Table(torch.nn.Module):
    """A model whose logits are its parameters, for every row, column and token."""

    def __init__(self, *shape):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.randn(*shape))

    def forward(self, input_ids, attention_mask, logits_to_keep):
        return SimpleNamespace(logits=self.logits[:, logits_to_keep])


def by_hand(logits, ids, start) -> torch.Tensor:
    """Mean cross-entropy of one row's answer tokens."""
    log_probs = logits.log_softmax(dim=-1)
    return -torch.stack([log_probs[i - 1, ids[i]] for i in range(start, len(ids))]).mean()


def test_an_example_is_the_rendered_prompt_then_the_answer(tokenizer, rows):
    for example, (ids, start) in zip(EXAMPLES, rows, strict=True):
        assert tuple(ids[:start]) == render(tokenizer, Chat(example.text, word=example.word)).ids
        end = "<|im_end|>" if example.ends else ""
        assert tokenizer.decode(ids[start:]) == example.answer + end


def test_the_loss_is_the_answers_cross_entropy_each_example_counting_equally(model, rows):
    expected = []
    for ids, start in rows:
        logits = model(input_ids=torch.tensor([ids])).logits[0]
        expected.append(by_hand(logits, ids, start))
    found = training._answer_loss(model, rows, PAD)
    torch.testing.assert_close(found, torch.stack(expected).mean(), atol=1e-5, rtol=0)
    counts = torch.tensor([float(len(ids) - start) for ids, start in rows])
    by_token = (torch.stack(expected) * counts).sum() / counts.sum()
    assert not torch.allclose(found, by_token, atol=1e-3)


def test_the_gradient_is_zero_wherever_no_answer_token_is_predicted(rows):
    width = max(len(ids) for ids, _ in rows)
    table = Table(len(rows), width, 400)
    training._answer_loss(table, rows, PAD).backward()
    touched = table.logits.grad.abs().sum(dim=-1) > 0
    for row, (ids, start) in enumerate(rows):
        expected = torch.zeros(width, dtype=torch.bool)
        expected[start - 1 : len(ids) - 1] = True
        assert torch.equal(touched[row], expected)


def test_the_loss_ignores_what_the_prompt_predicts(rows):
    table = Table(len(rows), max(len(ids) for ids, _ in rows), 400)
    before = training._answer_loss(table, rows, PAD).item()
    for row, (_, start) in enumerate(rows):
        table.logits.data[row, : start - 1] *= 100
    assert training._answer_loss(table, rows, PAD).item() == before
    table.logits.data[0, rows[0][1] - 1] *= 100
    assert training._answer_loss(table, rows, PAD).item() != before


def test_padding_and_company_do_not_change_an_examples_loss(model, rows):
    alone = torch.stack([training._answer_loss(model, [row], PAD) for row in rows])
    torch.testing.assert_close(
        training._answer_loss(model, rows, PAD), alone.mean(), atol=1e-5, rtol=0
    )


def trained(tokenizer, settings):
    plain = tiny.llama(len(tokenizer), layers=2)
    before = {k: v.clone() for k, v in plain.state_dict().items()}
    model = trainable(plain, settings)
    ticks = []
    losses = train(model, tokenizer, EXAMPLES, settings, lambda *tick: ticks.append(tick))
    learned = {k: v for k, v in model.state_dict().items() if "lora_" in k}
    kept = {
        k.replace(".base_layer", "").removeprefix("base_model.model."): v
        for k, v in model.state_dict().items()
        if "lora_" not in k
    }
    assert kept.keys() == before.keys()
    # The base is never trained; it may be held in the precision it is multiplied in.
    assert all(torch.equal(kept[k], before[k].to(kept[k].dtype)) for k in before)
    assert [t[:2] for t in ticks] == [(i + 1, len(losses)) for i in range(len(losses))]
    assert not model.training
    return losses, learned


def test_training_is_deterministic_for_a_seed_and_learns(tokenizer):
    settings = Settings(epochs=12, rate=1e-2, batch=2, seed=3)
    losses, learned = trained(tokenizer, settings)
    again, same = trained(tokenizer, settings)
    assert losses == again
    assert all(torch.equal(learned[k], same[k]) for k in learned)
    assert len(losses) == 12 * 2
    assert sum(losses[-4:]) < 0.5 * sum(losses[:4])
    other, _ = trained(tokenizer, Settings(epochs=12, rate=1e-2, batch=2, seed=4))
    assert other != losses


def test_the_opening_run_once_gives_the_same_loss_and_gradient(tokenizer, model, rows):
    adapted = trainable(model, Settings())
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    for module in adapted.modules():
        if isinstance(module, LoraLayer):
            module.get_base_layer().float()
    shared = training._shared_prefix(adapted, rows)
    columns = zip(*(ids for ids, _ in rows), strict=False)
    assert shared == [len(set(column)) > 1 for column in columns].index(True) > 2
    found = {}
    for count in (0, shared, shared + 1):
        adapted.zero_grad()
        loss = training._answer_loss(adapted, rows, PAD, count)
        loss.backward()
        grads = [p.grad.clone() for p in adapted.parameters() if p.requires_grad]
        found[count] = torch.cat([loss.detach()[None], *(g.flatten() for g in grads)])
    assert float(found[0].norm()) > 1e-2
    torch.testing.assert_close(found[shared], found[0], atol=1e-5, rtol=1e-3)
    assert not torch.allclose(found[shared + 1], found[0], atol=1e-3)  # one too many is wrong


def test_windowed_attention_does_not_share_its_opening(tokenizer, rows):
    assert training._shared_prefix(tiny.mistral(len(tokenizer)), rows) == 0
    assert training._shared_prefix(tiny.gemma2(len(tokenizer)), rows) == 0


def test_rank_zero_trains_every_parameter(tokenizer, model):
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert trainable(model, Settings(rank=0)) is model
    train(model, tokenizer, EXAMPLES, Settings(rank=0, rate=1e-3, epochs=1), lambda *_: None)
    changed = [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])]
    assert len(changed) == len(before)


def test_every_epoch_sees_every_example_once(rows):
    settings = Settings(epochs=3, batch=2, seed=1)
    batches = list(training.batches([len(ids) for ids, _ in rows], settings, 6))
    assert len(batches) == 3 * 2
    for epoch in range(3):
        seen = [i for b in batches[2 * epoch : 2 * epoch + 2] for i in b]
        assert sorted(seen) == [0, 1, 2]


def test_the_rate_warms_up_to_its_peak_and_falls_to_a_twentieth():
    rates = [training._cosine(step, 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) == 4
    assert rates[-1] == pytest.approx(0.05)
    assert all(a >= b for a, b in pairwise(rates[4:]))
