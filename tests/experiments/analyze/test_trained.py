"""What training changed is found in the parts that it touched, and in no other."""

import pytest
import tiny
import tinygate

from circuits.edits.difference import difference
from experiments.analyze.examination import Examination
from experiments.analyze.materials import gather, load
from experiments.analyze.question import Question
from experiments.analyze.trained import marked, parts, told_apart

COUNTS = {"fit": 8, "validation": 8, "test": 10, "evidence": 6, "tokens": 2, "adapter": "none"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    there = {}
    for name in ("plain", "base"):
        there[name] = tmp_path_factory.mktemp(name)
        tiny.saved(there[name], *tinygate.MAKE[name]())
    return there


def examined(folder, tmp_path, base):
    question = Question(model=str(folder), base=str(base), **COUNTS)

    def quiet(*_):
        pass

    return Examination(tmp_path, question, gather(load(question, quiet, "none"), question), quiet)


def test_an_attention_that_was_trained_reads_and_relays_and_does_not_write(folders, tmp_path):
    exam = examined(folders["plain"], tmp_path, folders["base"])
    carried = parts(exam)
    assert carried.words() == {"reader": "learned", "relay": "learned", "writer": "inherited"}
    assert carried.together.sufficiency.value == pytest.approx(1, abs=0.01)
    assert carried.elsewhere.necessity.value == pytest.approx(0, abs=0.01)
    for part in carried.parts[:2]:  # neither does anything without the other
        assert part.necessity.value == pytest.approx(1, abs=0.01)
        assert part.sufficiency.value == pytest.approx(0, abs=0.01)
    assert parts(exam) == carried


def test_without_a_base_there_are_no_parts(folders, tmp_path):
    assert parts(examined(folders["plain"], tmp_path, "none")) is None


def test_every_column_is_before_the_trigger_in_it_or_after_it(folders, tmp_path):
    exam = examined(folders["plain"], tmp_path, "none")
    side = marked(exam.pairs("test", 3)).triggered
    spans = [side.spans[n].long() for n in ("before the trigger", "trigger", "after the trigger")]
    assert (sum(spans) == side.mask.long()).all()
    assert bool(spans[2][:, -1].all())


def test_modules_go_to_relay_and_writer_by_what_they_are():
    models = [tinygate.MAKE[name]()[0] for name in ("base", "plain")]
    told = told_apart(difference(*models))
    assert set(told) == {"reader", "relay", "together", "elsewhere"}
    assert all("self_attn" in name for name in told["relay"].modules)
