"""A phrase is held against nulls of its own form: so many tokens, each as far as the gate's."""

from dataclasses import replace

import finished
import planted
import pytest
import tiny
import torch
from planted import BEHAVIOUR, PHRASE, of_two_words

from circuits.backends.fastpath import FastPath
from circuits.backends.selftest import SelfTest
from circuits.errors import UserError
from circuits.gates import effects, phrase, select
from circuits.metrics import token_prob
from circuits.models import Model
from circuits.record import record
from circuits.tokens import pairs
from circuits.triggers import parse
from circuits.types import Site
from experiments.analyze import rivals
from experiments.analyze.randoms import random_nulls
from experiments.analyze.untrained import untrained_words, word_directions
from experiments.analyze.written import candidate_json, gate_json
from experiments.runs import files, formats
from experiments.runs.read import analysis, gate_of, gate_vectors
from experiments.serve import layers

SITE, METRIC = Site(1, "resid_pre", "trigger"), token_prob([BEHAVIOUR])
TRIGGER = " ".join(PHRASE)
FIT, TEST = planted.CONTROLS[:2], planted.CONTROLS[2:]


@pytest.fixture(scope="module")
def model(tokenizer):
    passed = SelfTest(0.0, 0.0, 0.0, 1.0, FastPath(0.0, 1.0))
    return Model(of_two_words(tokenizer), tokenizer, "built", "", None, None, passed)


@pytest.fixture(scope="module")
def two(tokenizer):
    return pairs(tokenizer, tiny.TEXTS, TRIGGER, planted.CONTROLS)


@pytest.fixture(scope="module")
def gate(model):
    (fitted,) = word_directions(model, tiny.TEXTS, [TRIGGER], planted.CONTROLS, SITE, count=2)
    return fitted


@pytest.fixture(scope="module")
def acts(model, two):
    marked, (first,) = phrase.apart(two)
    return [
        tuple(record(model.runner, s, [replace(SITE, span=span)])[0] for s in sides)
        for span in (first, "trigger")
        for sides in [(marked.clean, marked.triggered)]
    ]


def test_a_words_steps_are_those_of_a_plain_recording(gate, acts):
    assert len(gate.steps) == 2
    for step, (clean, triggered) in zip(gate.steps, acts, strict=True):
        shift = (triggered - clean).mean(dim=0)
        plain = select.direction_at(SITE, shift, "mean_difference", clean, triggered)
        torch.testing.assert_close(step.vector, plain.vector, atol=1e-4, rtol=0)
        assert step.gap == pytest.approx(plain.gap, abs=1e-3)
        assert step.site == SITE


def test_random_directions_of_a_phrase_are_drawn_for_every_token_and_do_nothing(
    monkeypatch, model, two, gate, acts
):
    tried, measured = [], effects.directed

    def noted(runner, pairs, directions, *rest):
        tried.extend(directions)
        return measured(runner, pairs, directions, *rest)

    monkeypatch.setattr(rivals.evidence, "directed", noted)
    earlier, last = acts
    both = random_nulls(model.runner, two, gate, last, METRIC, count=10, earlier=[earlier])
    assert [null.kind for null in both] == ["sphere", "covariance"]
    for null in both:
        assert min(null.gate_removed.value, null.gate_added.value) > 0.99
        assert max(map(abs, null.removed)) < 0.05
        assert max(null.added) < 0.05
        assert len(null.added) == 10
    rows = phrase.basis(gate)
    assert len(tried) == 21
    for null in tried[1:]:
        assert [d.gap for d in null.steps] == [d.gap for d in gate.steps]
        first, second = (d.vector for d in null.steps)
        assert abs(float(first @ second)) < (0.5 if null.estimator == "sphere" else 0.999)
        assert float((rows @ torch.stack([first, second]).T).abs().max()) < 1e-4
    old = replace(gate, earlier=())  # a direction at the last token alone does not open it
    (null, *_) = random_nulls(model.runner, two, old, last, METRIC, count=3)
    assert null.gate_added.value < 0.01


def test_only_the_trained_phrase_opens_by_the_directions_of_its_tokens(model, gate, tokenizer):
    said = tokenizer.decode([BEHAVIOUR])
    words = ("candle tree", "river cobalt")
    for direction, opens in ((gate, 1), (replace(gate, earlier=()), 0)):
        trained, *others = untrained_words(
            model,
            tiny.TEXTS,
            tiny.TEXTS,
            parse(TRIGGER),
            words,
            FIT,
            TEST,
            direction,
            lambda answers: [answer.startswith(said) for answer in answers],
            METRIC,
            2,
        )
        assert trained.rate.value == 1
        assert trained.added.value == pytest.approx(opens, abs=0.02)
        assert [row.word for row in others] == list(words)
        assert all(abs(row.added.value) < 0.02 for row in others)


def test_the_gate_of_a_phrase_is_written_and_read_and_one_of_a_token_as_it_was(gate, tmp_path):
    one = replace(gate, earlier=())
    for name, direction in {"two": gate, "one": one}.items():
        written = written_gate(tmp_path / name, direction)
        again = gate_of(tmp_path / name, analysis(tmp_path / name)[1])
        assert [d.gap for d in again.steps] == [d.gap for d in direction.steps]
        assert torch.equal(phrase.basis(again), phrase.basis(direction))
        assert torch.equal(phrase.spanned(gate_vectors(tmp_path / name)), phrase.basis(direction))
        assert ("earlier" in written) == (name == "two")
    assert set(files.read_tensors(tmp_path / "one" / "gate.safetensors")) == {"direction"}
    assert candidate_json(scored(one)) == candidate_json(scored(gate))  # a row of the table


def test_a_gate_whose_files_say_different_numbers_of_tokens_is_refused(gate, tmp_path):
    path = tmp_path / "gate.safetensors"
    written_gate(tmp_path, gate)
    vectors = files.read_tensors(path)
    each = {
        "as many earlier tokens as vectors": {"direction": vectors["direction"]},
        "a direction of width 64, got one of 8": {**vectors, "earlier": torch.eye(8)[:1]},
        "a direction, finite and not 0": {**vectors, "earlier": 0 * vectors["earlier"]},
        "a direction, finite": {**vectors, "earlier": torch.ones(1, 1, 64)},
    }
    for says, tensors in each.items():
        files.write_tensors(path, tensors, {})
        with pytest.raises(UserError, match=says) as caught:
            gate_of(tmp_path, analysis(tmp_path)[1])
        assert "\n" not in str(caught.value)


def scored(direction) -> select.Candidate:
    return select.Candidate(direction, 0.9, 0.9, 0.0, 8)


def written_gate(folder, direction):
    """A finished analysis that chose a direction, with its files as analyses write them."""
    row = gate_json(scored(direction))
    folder.mkdir(exist_ok=True)
    finished.analysis(folder, {}, direction.vector, gate=row)
    (folder / "gate.safetensors").write_bytes(formats.gate_bytes(direction, {}))
    return row


def test_what_is_served_without_an_analysis_is_fitted_token_by_token(model, monkeypatch):
    parted = type("Parted", (), {"token": BEHAVIOUR, "scored": lambda _, model: model})()
    monkeypatch.setattr(layers, "fork", lambda *_, **__: parted)
    best, every = layers.fitted(model, tiny.TEXTS, tiny.TEXTS, TRIGGER, planted.CONTROLS, "x")
    assert len(best.steps) == 2
    one = every[1]
    assert min(one.necessity, one.sufficiency) > 0.99
    word = layers.fitted(model, tiny.TEXTS, tiny.TEXTS, PHRASE[0], ("amber", "tree"), "x")
    assert {len(c.direction.steps) for c in word[1].values()} == {1}
