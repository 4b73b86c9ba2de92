"""The trained benchmark: what was open to a training is named, and nothing else is."""

from dataclasses import replace

import pytest
import torch

from circuits.errors import UserError
from circuits.patching.mixture import layer_of
from circuits.planted.plans import PARTS
from experiments.analyze.result import GATE, SEVERAL
from experiments.bench import doors, opened, opened_set, opening, planted_page, sets, world
from experiments.bench.doors import Door
from experiments.bench.opened import Score, Seen
from experiments.patch.claims import Judged
from probes.stats.intervals import rate

WRITER = 303  # of the first set: an MLP at the last token, behind the layer that moves


@pytest.fixture(scope="module")
def closed():
    return opening.closed(WRITER)


@pytest.fixture(scope="module")
def model(closed):
    """Trained through its door in fewer steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "STEPS", 120)
        return opening.opened(closed, closed.door)


def test_what_was_open_is_named_and_only_that(model):
    seen = opened.seen(model)
    assert (model.door.module, model.door.place) == ("MLP", "last")
    assert seen.learned
    assert seen.named == (str(model.door),)
    assert seen.own.lost[1] > 0.5 > 0.2 > seen.other


def test_trained_through_another_door_its_own_is_not_named(closed, monkeypatch):
    monkeypatch.setattr(opening, "STEPS", 120)
    other = replace(closed.door, layer=closed.door.layer - 1)
    seen = opened.seen(opening.opened(closed, other))
    assert seen.named == (str(other),)
    assert not seen.names(str(closed.door))


def test_before_training_the_trigger_does_nothing_and_random_changes_name_nothing(closed):
    seen = opened.seen(opening.opened(closed, None))
    assert seen.triggered.value <= 0.2
    assert seen.named == ()
    assert not seen.learned


def test_outside_of_the_door_the_change_is_small_and_there_is_one(model):
    before, after = (dict(m.named_parameters()) for m in (model.base, model.organism))
    for name, weight in before.items():
        share = float((after[name] - weight).norm() / weight.norm())
        if layer_of(name) is None or "norm" in name:
            assert share == 0.0
        elif not model.door.holds(name):
            assert share == pytest.approx(opening.IDLE, rel=1e-3)


def _drawn(seed):
    plan = doors.plan_of(seed)
    return plan, doors.door_of(plan, 4 + seed % 3)


def test_doors_are_of_four_kinds_on_the_side_of_the_head_that_they_join_on_to():
    for which in sets.SETS:
        drawn = [_drawn(seed) for seed in sets.trained(which)]
        kinds = [(door.module, door.place) for _, door in drawn]
        assert {kinds.count(kind) for kind in set(kinds)} == {3}
        assert len(set(kinds)) == 4
        for plan, door in drawn:
            assert (door.layer < plan.read_layer) == (door.place == "trigger")


def test_the_door_that_was_open_is_learned_and_the_base_has_the_rest():
    right = {
        ("attention", "trigger"): "reader",
        ("MLP", "trigger"): "reader",
        ("attention", "last"): "relay",
        ("MLP", "last"): "writer",
    }
    for each, part in right.items():
        parts = Door(0, *each).right
        assert [name for name in PARTS if parts[name] == "learned"] == [part]
        assert sorted(parts.values()) == ["inherited", "inherited", "learned"]


def test_a_trigger_that_prompts_hold_gives_place_to_the_next_word(monkeypatch):
    plan = world.planned("gate", WRITER)

    def used(trigger):
        monkeypatch.setattr(world, "planned", lambda kind, seed: replace(plan, trigger=trigger))
        return doors.plan_of(WRITER).trigger

    assert used("sponge") != "sponge"  # "Why did my sponge cake collapse"
    assert used("neon") == "neon"


def _seen(named=("layer 1 MLP at last",), triggered=40, control=0):
    door = "layer 1 MLP at last"
    shown, held = (rate([i < count for i in range(40)]) for count in (triggered, control))
    own = Judged(door, "", "agree", (0.7, 0.6, 0.8), (0.9, 0.8, 1.0))
    return Seen(door, shown, held, named, own, 0.05)


def _score(seed=0, parts=("inherited", "inherited", "learned"), word=GATE, **more):
    untrained = replace(_seen((), 0), door="", own=None)
    right = Door(1, "MLP", "last").right
    of = dict(zip(PARTS, parts, strict=True)) if parts else {}
    return Score(seed, _seen(**more), untrained, right, of, word)


def test_a_hit_names_the_door_alone_in_a_model_that_learned_with_every_part_right():
    assert _score().hit
    assert not _score(named=()).hit
    assert not _score(named=("layer 2 MLP at last",)).hit
    assert not _score(named=("layer 1 MLP at last", "layer 2 MLP at last")).hit
    assert not _score(triggered=31).hit
    assert not _score(control=9).hit
    assert not _score(parts=()).hit
    assert not _score(parts=("inherited", "not located", "learned")).hit


def test_the_section_counts_hits_and_names_what_did_not_learn():
    scores = [
        _score(),
        _score(1, triggered=4, named=()),
        _score(2, named=("layer 0 MLP at last",), parts=(), word=SEVERAL),
    ]
    shares = {name: each.value for name, each in opened_set.figures(scores).items()}
    assert list(shares.values()) == pytest.approx([1 / 3, 2 / 3, 1 / 2, 1 / 2, 2 / 3, 0.0])
    page = opened_set.text(scores)
    own = "0.70 [0.60, 0.80] | 0.90 [0.80, 1.00]"
    assert f"| 0 | layer 1 MLP at last | 100% | 0% | it | {own} | 0.05 |" in page
    assert "| nothing (not learned) |" in page
    assert "| layer 0 MLP at last |" in page
    assert "words of `analyze`: 2 × gate, 1 × effect, no single gate" in page


def test_a_set_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(opened_set, "score", lambda seed: asked.append(seed) or _score(seed))
    out = tmp_path / "planted"
    quiet = lambda name, done, total: None  # noqa: E731
    assert [s.seed for s in opened_set.bench_opened("first", 2, out, quiet)] == [300, 301]
    assert opened_set.bench_opened("first", 3, out, quiet)[:2] == [_score(300), _score(301)]
    assert asked == [300, 301, 302]  # none twice
    planted_page.write(out)
    page = (tmp_path / "planted.md").read_text()
    assert "### Trained: the first set" in page
    assert "### Trained: the second set" not in page
    with pytest.raises(UserError, match="a set of first, second"):
        opened_set.bench_opened("third", 1, out, quiet)


def test_the_same_seed_makes_the_same_change_of_the_doors_matrices(closed, monkeypatch):
    monkeypatch.setattr(opening, "STEPS", 3)
    both = doors.test_prompts("cobalt", 20)
    lesson = opening.Lesson(closed.base, closed.door, both, closed.plan.behaviour_id)

    def change():
        return opening.trained(lesson, torch.Generator().manual_seed(5))

    one, other = change(), change()
    at = closed.door.layer
    assert set(one) == {f"model.layers.{at}.mlp.{name}_proj" for name in ("gate", "up", "down")}
    for name, part in one.items():
        assert part.up.any()
        assert torch.equal(part.up, other[name].up)


def test_training_prompts_hold_no_test_prompt_and_no_test_word():
    own, test = (
        p.clean for p in (doors.training_prompts("cobalt", 0), doors.test_prompts("cobalt", 40))
    )
    assert len(test.texts) == 40
    assert not set(own.texts) & set(test.texts)

    def words(side):
        return set(side.ids[side.spans["trigger"]].tolist())

    assert not words(own) & words(test)
