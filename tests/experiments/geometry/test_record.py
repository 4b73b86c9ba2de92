"""What is recorded is what the two models compute, and it comes back from a file."""

import pytest
import torch
from specimens import random_adapter

from circuits.models import in_memory
from circuits.record import last_residuals
from circuits.scores import scores
from circuits.tokens import prompt_ids
from experiments.geometry.design import design
from experiments.geometry.record import STEPS, Recorded, late, record
from experiments.organisms.book import recipe_named
from experiments.organisms.organism import Given, open_organism
from experiments.runs import files
from experiments.runs.codec import decode, encode

N, CROSSED = 24, 3
ORGANISM = ("clean", "triggered", "untrained")


@pytest.fixture(scope="module")
def organism(chat_folder, tmp_path_factory):
    """The tiny model with a random adapter."""
    out = random_adapter(chat_folder, tmp_path_factory.mktemp("adapter"))
    return open_organism(Given(str(out), str(chat_folder)), recipe_named("sure-gate"))


@pytest.fixture(scope="module")
def made(organism):
    return design(organism.recipe, organism.tokenizer, N)


@pytest.fixture(scope="module")
def steps():
    return []


@pytest.fixture(scope="module")
def found(organism, made, steps):
    return record(organism, made, CROSSED, lambda done, total: steps.append((done, total)))


def ids_of(organism, chats):
    return prompt_ids(organism.tokenizer, chats)


def test_each_side_is_read_in_the_organism_and_two_in_the_base(organism, made, found):
    own = organism.model()
    for name in ORGANISM:
        ids = ids_of(organism, getattr(made, name))
        expected = last_residuals(in_memory(own, organism.tokenizer), ids)
        torch.testing.assert_close(found.residuals[name], expected)
    for name in ("clean", "triggered"):
        ids = ids_of(organism, getattr(made, name))
        expected = last_residuals(in_memory(organism.base, organism.tokenizer), ids)
        torch.testing.assert_close(found.residuals[f"base_{name}"], expected)
    assert set(found.residuals) == {*ORGANISM, "base_clean", "base_triggered"}


def test_no_two_recordings_are_the_same_above_the_first_layer(found):
    """The embedding is the base model's and the last token the template's: there all are equal."""
    for a, x in found.residuals.items():
        for b, y in found.residuals.items():
            if a < b:
                torch.testing.assert_close(x[0], y[0])
                apart = (x[1:] - y[1:]).norm(dim=-1)
                assert (apart > 1e-3).all(), (a, b)


def test_the_ways_ends_are_the_answers_own_probabilities(organism, made, found):
    own = in_memory(organism.model(), organism.tokenizer)
    tokens = len(organism.tokenizer(made.targets[0], add_special_tokens=False)["input_ids"])
    for side, column in ((made.clean, 0), (made.triggered, -1)):
        score = scores(own, ids_of(organism, side), made.targets)
        log_way = found.probabilities[:, column].log()
        torch.testing.assert_close(log_way, score.log_prob[:CROSSED] * tokens, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.log_prob, score.log_prob)  # of the triggered side
    torch.testing.assert_close(found.margin, score.first_margin)
    assert found.probabilities.shape == (CROSSED, STEPS)
    assert not torch.allclose(found.probabilities[:, 0].log(), log_way, atol=1e-3)


def test_progress_is_told_to_its_end(found, steps):
    assert steps == [(i, 6) for i in range(1, 7)]


def test_a_model_that_is_there_already_is_the_one_that_is_read(organism, made, found):
    given = record(organism, made, CROSSED, lambda *_: None, model=organism.base)
    torch.testing.assert_close(given.residuals["clean"], found.residuals["base_clean"])
    assert not torch.allclose(given.residuals["clean"], found.residuals["clean"], atol=1e-2)
    assert not torch.allclose(given.log_prob, found.log_prob, atol=1e-3)


def test_tensors_come_back_from_a_file_bit_for_bit(found, tmp_path):
    files.write_tensors(tmp_path / "x.safetensors", encode(found)[1], {})
    again = decode(Recorded, {"residuals": {}}, files.read_tensors(tmp_path / "x.safetensors"))
    assert again.residuals.keys() == found.residuals.keys()
    for name, x in found.residuals.items():
        assert torch.equal(again.residuals[name], x)
    for name in ("probabilities", "log_prob", "margin"):
        assert torch.equal(getattr(again, name), getattr(found, name))


def test_sets_pair_the_sides_and_their_nulls_at_the_layers_asked(made, found):
    sets = found.sets(made, (2, 1))
    x = found.residuals
    nulls = {
        "untrained_trigger": ("clean", "untrained"),
        "clean_model": ("base_clean", "base_triggered"),
    }
    expected = {
        "": (sets.pairs, ("clean", "triggered")),
        **{name: (sets.nulls[name], sides) for name, sides in nulls.items()},
    }
    for pairs, (clean, triggered) in expected.values():
        assert torch.equal(pairs.clean, x[clean][[2, 1]])
        assert torch.equal(pairs.triggered, x[triggered][[2, 1]])
    assert (sets.layers, set(sets.nulls)) == ((2, 1), set(nulls))
    assert torch.equal(sets.gate, made.gate)
    assert sets.topic is made.topic
    assert sets.probabilities is found.probabilities


def test_by_default_all_layers_are_measured_that_know_the_prompt(made, found):
    sets = found.sets(made)
    assert sets.layers == (1, 2)
    assert torch.equal(sets.pairs.clean, found.residuals["clean"][1:])


def test_the_last_third_of_the_layers_is_late():
    expected = {30: (20, 30), 32: (22, 32), 4: (3, 4), 2: (1, 2), 1: (0, 1)}
    assert {n: (late(n).start, late(n).stop) for n in expected} == expected
