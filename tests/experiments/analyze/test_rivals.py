"""Untrained words beside the planted gate."""

import pytest
import tiny
import torch
from planted import BEHAVIOUR, planted

from circuits.backends.fastpath import FastPath
from circuits.backends.selftest import SelfTest
from circuits.errors import UserError
from circuits.gates import select
from circuits.metrics import token_prob
from circuits.models import Model
from circuits.record import record
from circuits.runner import generate
from circuits.tokens import pairs, prompts_batch
from circuits.triggers import parse
from circuits.types import Site
from experiments.analyze import untrained
from experiments.analyze.untrained import WordRow, untrained_words, word_directions

METRIC = token_prob([BEHAVIOUR])
SITE = Site(1, "resid_pre", "trigger")
WORDS, CONTROLS = tiny.CONTROLS[:2], tiny.CONTROLS[2:]


def wrapped(runner, tokenizer) -> Model:
    passed = SelfTest(0.0, 0.0, 0.0, 1.0, FastPath(0.0, 1.0))
    return Model(runner, tokenizer, "built", "", None, None, passed)


@pytest.fixture(scope="module")
def model(tokenizer):
    return wrapped(planted(tokenizer).runner, tokenizer)


@pytest.fixture(scope="module")
def acts(model, aligned):
    return tuple(record(model.runner, s, [SITE])[0] for s in (aligned.clean, aligned.triggered))


@pytest.fixture(scope="module")
def found(tokenizer, acts):
    return select.direction_at(SITE, planted(tokenizer).gate, "given", *acts)


@pytest.fixture
def behaviour(tokenizer):
    """The planted behaviour is a letter, repeated: any answer that begins with it shows it."""
    letter = tokenizer.decode([BEHAVIOUR])
    return lambda answers: [answer.startswith(letter) for answer in answers]


def rows(model, found, behaviour, **options) -> tuple[WordRow, ...]:
    return untrained_words(
        model,
        tiny.TEXTS,
        tiny.TEXTS,
        parse(tiny.TRIGGER),
        WORDS,
        CONTROLS,
        CONTROLS,
        found,
        behaviour,
        METRIC,
        length=2,
        **options,
    )


def test_only_the_trained_word_shows_the_behaviour_and_has_a_direction_that_does(
    model, found, behaviour
):
    trained, *others = rows(model, found, behaviour)
    assert trained.trained
    assert trained.word == tiny.TRIGGER
    assert trained.rate.value == trained.effect.value == 1
    assert trained.cosine > 0.98
    assert trained.removed.value > 0.99
    assert trained.added.value > 0.99
    assert [row.word for row in others] == list(WORDS)
    for row in others:
        assert not row.trained
        assert row.rate.value == row.effect.value == 0
        assert abs(row.cosine) < 0.2
        assert abs(row.removed.value) < 0.05
        assert abs(row.added.value) < 0.05
        assert row.gap > 0.1  # its own string does separate


def test_without_the_copying_head_the_trigger_is_a_word_like_any_other(tokenizer, found, behaviour):
    idle = wrapped(planted(tokenizer, copies=False).runner, tokenizer)
    trained, *_ = rows(idle, found, behaviour)
    assert trained.rate.value == 0
    assert abs(trained.removed.value) < 0.01
    assert abs(trained.added.value) < 0.01
    assert trained.gap > 10


@pytest.mark.parametrize("shared", [True, False])
def test_shared_columns_change_nothing(monkeypatch, runner, tokenizer, shared):
    """On a random model: answers and directions equal those of whole passes."""
    monkeypatch.setattr(untrained, "fast_path", lambda _: FastPath(0.0 if shared else 2.0, 1.0))
    model = wrapped(runner, tokenizer)
    said = []

    def shows(answers):
        said.extend(answers)
        return [False] * len(answers)

    choices = [["amber"] * 6, ["river"] * 6]
    seen = []
    untrained._shown(model, tiny.TEXTS, choices, shows, 4, lambda a, b: seen.append((a, b)))
    assert seen == [(1, 2), (2, 2)]
    expected = []
    for chosen in choices:
        batch = prompts_batch(tokenizer, tiny.TEXTS, chosen)
        expected += model.decode(generate(runner, batch, 4, stop=model.stop_ids))
    assert said == expected
    (d,) = word_directions(model, tiny.TEXTS, ["amber"], ["river", "tree"], SITE)
    sides = pairs(tokenizer, tiny.TEXTS, "amber", ["river", "tree"])
    clean, word = (record(runner, s, [SITE])[0] for s in (sides.clean, sides.triggered))
    plain = select.direction_at(SITE, (word - clean).mean(dim=0), "mean_difference", clean, word)
    torch.testing.assert_close(d.vector, plain.vector, atol=1e-4, rtol=0)
    assert d.gap == pytest.approx(plain.gap, abs=1e-3)


def test_words_of_other_lengths_are_tried_whole(model, found, behaviour):
    (trained, *_), (again, longer) = (
        untrained_words(
            model,
            tiny.TEXTS,
            tiny.TEXTS,
            parse(tiny.TRIGGER),
            words,
            CONTROLS,
            CONTROLS,
            found,
            behaviour,
            METRIC,
        )
        for words in (WORDS, ["amber tree"])
    )
    assert trained.rate == again.rate
    assert trained.added.value == pytest.approx(again.added.value, abs=1e-4)
    assert (longer.word, longer.rate.value) == ("amber tree", 0)


def test_words_that_cannot_be_compared_are_refused(model, tokenizer, found, behaviour):
    def tried(words, controls=CONTROLS):
        return untrained_words(
            model,
            tiny.TEXTS,
            tiny.TEXTS,
            parse(tiny.TRIGGER),
            words,
            controls,
            controls,
            found,
            behaviour,
            METRIC,
        )

    with pytest.raises(UserError, match=r"no control words, got \['river'\]"):
        tried(["river"])
    with pytest.raises(UserError, match=r"got \['cobalt'\]"):
        tried(WORDS, [*CONTROLS, tiny.TRIGGER])
    with pytest.raises(UserError, match="got no word"):
        tried([])
    with pytest.raises(UserError, match="before the word"):
        word_directions(model, tiny.TEXTS, WORDS, CONTROLS, Site(1, "resid_pre", "last_user"))
    with pytest.raises(UserError, match="makes no difference"):
        word_directions(model, tiny.TEXTS, WORDS, CONTROLS, Site(0, "resid_pre", "last"))
