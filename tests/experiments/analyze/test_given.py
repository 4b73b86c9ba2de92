"""A direction given to the base shows whether what lies above it was there before training."""

from dataclasses import replace

import pytest
import tiny
import tinygate

from circuits.gates.select import direction_at
from circuits.types import Site
from experiments.analyze.examination import Examination
from experiments.analyze.given import given
from experiments.analyze.materials import gather, load
from experiments.analyze.question import Question

COUNTS = {"fit": 8, "validation": 8, "test": 10, "tokens": 3, "adapter": "none"}
AFTER, BEFORE = Site(3, "resid_pre", "last"), Site(1, "resid_pre", "trigger")


@pytest.fixture(scope="module")
def exam(tmp_path_factory):
    folders = {}
    for name in ("plain", "base"):
        folders[name] = tmp_path_factory.mktemp(name)
        tiny.saved(folders[name], *tinygate.MAKE[name]())
    question = Question(model=str(folders["plain"]), base=str(folders["base"]), **COUNTS)
    materials = gather(load(question, lambda *_: None, "none"), question)
    return lambda folder: Examination(folder, question, materials)


def shift(exam, site):
    acts = exam.activations_at(site)
    difference = (acts["triggered"] - acts["clean"]).mean(dim=0)
    return direction_at(site, difference, "mean_difference", acts["clean"], acts["triggered"])


def test_the_base_acts_on_what_lies_behind_the_trained_attention_alone(exam, tmp_path):
    one = exam(tmp_path / "after")
    (base,) = given(one, shift(one, AFTER))
    assert (base.name, base.before.value, base.after.value) == ("base", 0.0, 1.0)
    other = exam(tmp_path / "before")
    (base,) = given(other, shift(other, BEFORE))  # the attention that moves it is not there
    assert (base.before.value, base.after.value) == (0.0, 0.0)


def test_it_is_measured_once(exam, tmp_path):
    one = exam(tmp_path)
    first = given(one, shift(one, AFTER))
    assert given(one, shift(one, BEFORE)) == first
    assert given(Examination(tmp_path, one.question), shift(one, BEFORE)) == first


def test_a_finished_directory_is_read_without_its_model_whatever_its_base(exam, tmp_path):
    one = exam(tmp_path)
    kept = given(one, shift(one, AFTER))
    auto = replace(one.question, base="auto")  # only the model at hand says whether it has one
    assert given(Examination(tmp_path, auto), shift(one, AFTER)) == kept
    assert given(Examination(tmp_path / "empty", auto), shift(one, AFTER)) == ()  # of before
