"""A base is the model before this one; without one, the trigger's tokens tell no gate."""

import pytest
import tiny
import tinygate
import torch

from circuits.errors import UserError
from circuits.gates.select import BASE, UNEMBEDDING, Candidate
from circuits.types import Direction, Site
from experiments.analyze.base import base_model
from experiments.analyze.examination import Examination
from experiments.analyze.materials import gather, load
from experiments.analyze.question import Question
from experiments.analyze.select import told_apart

COUNTS = {"fit": 8, "validation": 8, "test": 10, "tokens": 2, "adapter": "none"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    model, tok = tinygate.plain()
    torch.manual_seed(5)
    alike = {"layers": 5, "hidden_size": 64, "max_position_embeddings": 2048}
    models = {
        "plain": (model, tok),
        "base": tinygate.base(),
        "other": (tiny.llama(len(tok), **alike), tok),
    }
    there = {name: tmp_path_factory.mktemp(name) for name in models}
    return {name: tiny.saved(there[name], *models[name]) for name in models}


def examined(folders, tmp_path, base):
    question = Question(model=str(folders["plain"]), base=str(folders[base]), **COUNTS)
    return Examination(
        tmp_path, question, gather(load(question, lambda *_: None, "none"), question)
    )


def test_another_model_of_the_same_sizes_is_no_base(folders, tmp_path):
    with pytest.raises(UserError, match=r"--base .*other.*residuals.*--base none to do without"):
        base_model(examined(folders, tmp_path, "other"))


def test_the_model_before_it_is_one(folders, tmp_path):
    assert base_model(examined(folders, tmp_path, "base")).runner.shape.n_layers == 5


def candidate(span, estimator="mean_difference", strength=1.0) -> Candidate:
    site = Site(1, "resid_pre", span)
    return Candidate(Direction(site, torch.ones(1), estimator, 0.0, 1.0), strength, strength, 0, 8)


def test_without_a_base_a_direction_behind_the_trigger_comes_before_one_at_it():
    at, behind = candidate("trigger"), candidate("last")
    unembedding, own = candidate("last", UNEMBEDDING, 0.0), candidate("trigger", BASE, 0.0)
    assert at not in told_apart((at, behind, unembedding))
    assert at in told_apart((at, behind, unembedding, own))  # a base tells them apart
    assert at in told_apart((at, behind))  # a run of before
    weak = candidate("last", strength=0.3)
    assert at in told_apart((at, weak, unembedding))  # nothing else passes
