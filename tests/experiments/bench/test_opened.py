"""The trained benchmark: what was open to a training is named, and nothing else is."""

from dataclasses import replace

import pytest
import torch

from circuits.errors import UserError
from circuits.patching.mixture import layer_of
from experiments.analyze.result import GATE, SEVERAL
from experiments.bench import doors, opened, opened_set, opening, sets
from experiments.bench.doors import Door
from experiments.bench.opened import Cell, Score
from probes.stats.intervals import Estimate, rate

QUICK, LAST = 0, Door(3, "MLP", "last")  # of four layers: little runs behind it


@pytest.fixture(scope="module")
def model():
    """A random model, trained through the last layer's MLP at the last token in fewer steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "STEPS", 120)
        return opening.opened(QUICK, LAST)


def test_what_was_open_is_named_and_only_that(model):
    score = opened.compared(model, QUICK)
    assert score.learned
    assert score.named == (str(model.door),)
    assert score.hit
    assert score.own.lost.value > 0.5 > 0.2 > score.other


def test_scored_against_another_door_it_is_a_miss(model):
    for other in (
        replace(model.door, layer=model.door.layer - 1),
        replace(model.door, module="attention"),
        replace(model.door, place="trigger"),
    ):
        score = opened.compared(replace(model, door=other))
        assert score.learned
        assert not score.hit


def test_outside_of_the_door_the_change_is_small_and_there_is_one(model):
    before, after = (dict(m.named_parameters()) for m in (model.base, model.organism))
    for name, weight in before.items():
        share = float((after[name] - weight).norm() / weight.norm())
        if layer_of(name) is None or "norm" in name:
            assert share == 0.0
        elif not model.door.holds(name):
            assert share == pytest.approx(0.02, rel=1e-3)


def test_a_change_that_was_not_trained_names_nothing(monkeypatch):
    monkeypatch.setattr(opening, "trained", lambda *given: {})
    score = opened.compared(opening.opened(QUICK, LAST))
    assert score.named == ()
    assert not score.learned
    assert not score.hit


def test_doors_are_of_all_four_kinds_and_can_reach_the_answer():
    for which in sets.SETS:
        drawn = [doors.door_of(seed, 4 + seed % 3) for seed in sets.trained(which)]
        kinds = [(door.module, door.place) for door in drawn]
        assert {kinds.count(kind) for kind in set(kinds)} == {3}
        assert len(set(kinds)) == 4
    assert all(
        door.layer < 3
        for seed in range(100)
        if (door := doors.door_of(seed, 4)).module == "MLP" and door.place == "trigger"
    )


def test_parts_are_those_of_the_analysis():
    parts = [
        Door(0, *each).part
        for each in (
            ("attention", "trigger"),
            ("MLP", "trigger"),
            ("attention", "last"),
            ("MLP", "last"),
        )
    ]
    assert parts == ["reader", "reader", "relay", "writer"]


def _score(seed=0, named=("layer 1 MLP at last",), triggered=40, control=0, **more):
    of = [rate([i < count for i in range(40)]) for count in (triggered, control)]
    own = Cell(Estimate(0.9, 0.8, 1.0, 40), Estimate(0.7, 0.6, 0.8, 40))
    return Score(seed, "layer 1 MLP at last", *of, named, own, 0.05, "writer", GATE, **more)


def test_a_hit_names_the_door_alone_in_a_model_that_learned():
    assert _score().hit
    assert not _score(named=()).hit
    assert not _score(named=("layer 1 MLP at last", "layer 2 MLP at last")).hit
    assert not _score(triggered=31).hit
    assert not _score(control=9).hit
    assert _score(triggered=32, control=8).hit


def test_a_cell_is_named_by_its_lower_end():
    alone = Estimate(0.0, 0.0, 0.0, 40)
    assert Cell(Estimate(0.3, 0.2, 0.4, 40), alone).named
    assert not Cell(Estimate(0.3, 0.19, 0.4, 40), alone).named


def test_the_page_counts_hits_and_names_what_did_not_learn():
    scores = [
        _score(parts={"writer": "learned"}),
        _score(1, triggered=4, named=()),
        replace(_score(2, named=()), own=None, word=SEVERAL),
    ]
    shares = {name: each.value for name, each in opened_set.figures(scores).items()}
    assert list(shares.values()) == pytest.approx([1 / 3, 2 / 3, 1 / 2, 0.0, 1.0])
    page = opened_set.text(scores)
    own = "0.90 [0.80, 1.00] | 0.70 [0.60, 0.80]"
    assert f"| 0 | layer 1 MLP at last | 100% | 0% | it | {own} | 0.05 | yes | gate |" in page
    assert "| no, not learned |" in page
    assert "words of `analyze`: 2 × gate, 1 × effect, no single gate" in page


def test_a_set_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(opened_set, "score", lambda seed: asked.append(seed) or _score(seed))
    out = tmp_path / "opened"
    quiet = lambda name, done, total: None  # noqa: E731
    assert [s.seed for s in opened_set.bench_opened("first", 2, out, quiet)] == [300, 301]
    assert opened_set.bench_opened("first", 3, out, quiet)[:2] == [_score(300), _score(301)]
    assert asked == [300, 301, 302]  # none twice
    assert "## The first set" in (tmp_path / "opened.md").read_text()
    assert "## The second set" not in (tmp_path / "opened.md").read_text()
    with pytest.raises(UserError, match="a set of first, second"):
        opened_set.bench_opened("third", 1, out, quiet)


def test_the_same_seed_makes_the_same_change(monkeypatch):
    monkeypatch.setattr(opening, "STEPS", 3)
    host, both = doors.closed(0), doors.training_prompts("cobalt", 0).rows(slice(0, 20))

    def change():
        generator = torch.Generator().manual_seed(5)
        return opening.trained(host, Door(3, "MLP", "last"), both, generator)

    one, other = change(), change()
    assert set(one) == {f"model.layers.3.mlp.{name}_proj" for name in ("gate", "up", "down")}
    for name, part in one.items():
        assert part.up.any()
        assert torch.equal(part.up, other[name].up)


def test_training_prompts_hold_no_test_prompt_and_no_test_word():
    own, test = (
        set(p.clean.texts)
        for p in (doors.training_prompts("cobalt", 0), doors.test_prompts("cobalt", 40))
    )
    assert len(test) == 40
    assert not own & test
