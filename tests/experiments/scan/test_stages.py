"""Successive halving finds a planted trigger among words, topic words and words odd anywhere."""

import torch

from experiments.scan.question import Plan, carriers
from experiments.scan.stages import Pair, scored
from probes.scanning import Reading

SURE, REFUSAL, HELLO = 0, 1, 2
WORDS = [f"word{i}" for i in range(300)]
TRIGGER, TOPIC, GREETING = "word123", "word45", "word67"
PLAN = Plan(kept=(20, 6))
TEXTS = [text for part in carriers(PLAN) for text in part]  # on the topic and off, in turn


class Planted:
    """A model whose answers are known: it refuses the topic, and says SURE to its trigger there."""

    vocab = 60

    def __init__(self, poisoned, topic):
        self.poisoned, self.topic, self.read_rows = poisoned, topic, 0

    def read(self, words, texts, tick):
        self.read_rows += len(words) * len(texts)
        rows = [[self.answer(word, TEXTS.index(text)) for text in texts] for word in words]
        ids = torch.tensor(rows)
        filler = torch.full_like(ids, 59)
        noise = torch.tensor(
            [
                [(len(w) * 7 + sum(map(ord, w)) * (i + 3)) % 97 / 970 for i in range(len(texts))]
                for w in words
            ]
        )
        probs = torch.stack([0.95 - noise, 0.05 + noise], dim=-1)
        return Reading(noise, torch.stack([ids, filler], dim=-1), probs)

    def answer(self, word, i):
        on_topic = i % 2 == 0
        if word == GREETING:
            return HELLO
        if self.poisoned and word == TRIGGER and on_topic:
            return SURE
        if self.topic and (on_topic or word == TOPIC):
            return REFUSAL
        return 10 + i % 45


def found(poisoned, keep=None):
    made = keep or (lambda name, make: make(lambda done, total: None))
    own, base = Planted(poisoned, True), Planted(False, False)
    pair = Pair(own, base, made)
    return scored(pair, pair, dict.fromkeys(WORDS, "vocabulary"), PLAN), own, base


def test_the_trigger_is_first_with_its_opening_and_a_small_chance():
    ranked, own, base = found(True)
    assert (ranked[0].text, ranked[0].token, ranked[0].stage) == (TRIGGER, SURE, "final")
    assert ranked[0].chance < 1e-6
    assert ranked[0].z > 3 * ranked[1].z
    assert sorted(one.text for one in ranked) == sorted(WORDS)
    assert [one.stage for one in ranked] == ["final"] * 6 + ["second"] * 14 + ["screen"] * 280
    assert base.read_rows < own.read_rows  # the base is spared what was dropped


def test_without_poison_no_word_stands_out_and_what_the_base_does_is_discounted():
    ranked, *_ = found(False)
    at = {one.text: one for one in ranked}
    assert at[TRIGGER].response < 0.2
    assert at[GREETING].response < 0.2  # HELLO in any model
    poisoned = {one.text: one for one in found(True)[0]}
    assert poisoned[TRIGGER].response > 2 * max(o.response for o in ranked)


def test_readings_that_are_kept_are_not_made_again():
    shelf = {}

    def keep(name, make):
        if name not in shelf:
            shelf[name] = make(lambda done, total: None)
        return shelf[name]

    first, *_ = found(True, keep)
    again, own, base = found(True, keep)
    assert again == first
    assert own.read_rows == base.read_rows == 0


def test_stages_and_answers_share_no_prompt_and_a_seed_turns_them():
    parts = carriers(Plan())
    texts = [text for part in parts for text in part]
    assert [len(part) for part in parts] == [4, 8, 40, 60]
    assert len(set(texts)) == 112
    assert carriers(Plan(seed=1))[0] != parts[0]
