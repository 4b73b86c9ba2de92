"""The planted benchmark: seeds and right words are set down, and a model goes through analyze."""

from dataclasses import replace

import pytest

from circuits.errors import UserError
from circuits.planted.plans import KINDS, PARTS, RIGHT
from experiments.analyze.result import GATE, INHERITED, UNDECIDED
from experiments.bench import planted, planted_page, planted_set, sets


def test_the_right_words_set_down_are_those_of_the_kinds():
    assert {kind: (right.word, dict(right.parts)) for kind, right in RIGHT.items()} == sets.right()


def test_both_sets_have_ten_of_every_kind_and_share_no_seed():
    for which in sets.SETS:
        seeds = sets.seeds(which)
        assert set(seeds) == set(KINDS)
        assert all(len(each) >= 10 for each in seeds.values())
        assert len(sets.trained(which)) >= 12
    first, second = (sets.seeds(which) for which in sets.SETS)
    assert all(not set(first[kind]) & set(second[kind]) for kind in KINDS)
    assert not set(sets.trained("first")) & set(sets.trained("second"))


def test_a_base_that_does_it_already_is_inherited_by_analyze_itself():
    score = planted.score("instruction", 1)
    assert score.effect
    assert score.hit
    assert score.word == INHERITED
    assert score.parts == {}  # nothing was learned that could have parts


def _score(kind, word, **more):
    right = planted.WORDS[RIGHT[kind].word]
    return planted.Score(kind, 0, word, right, True, right_parts=RIGHT[kind].parts, **more)


def test_the_figures_count_words_parts_and_what_was_called_a_gate_wrongly():
    scores = [
        _score("gate", GATE, cosine=0.999, parts=RIGHT["gate"].parts),
        _score("gate", UNDECIDED, cosine=0.0, parts=dict.fromkeys(PARTS, "not located")),
        _score("xor", GATE, parts=RIGHT["xor"].parts),
        _score("instruction", INHERITED),
    ]
    shares = {name: each.value for name, each in planted_set.figures(scores).items()}
    assert list(shares.values()) == [0.5, 6 / 9, 1.0, 0.5]
    page = planted_set.text(scores)
    assert "| xor | effect, no single gate | 1 | 0 | 1 × gate |" in page
    assert "| instruction | inherited effect | 1 | 1 |" in page


def test_a_set_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    asked = []

    def score(kind, seed):
        asked.append((kind, seed))
        return replace(_score(kind, GATE), seed=seed)

    monkeypatch.setattr(planted_set, "score", score)
    out = tmp_path / "planted"
    quiet = lambda name, done, total: None  # noqa: E731
    first = planted_set.bench_planted("first", 1, out, quiet)
    assert len(asked) == len(first) == len(KINDS)
    planted_set.bench_planted("first", 2, out, quiet)
    assert len(asked) == 2 * len(KINDS)  # none twice
    planted_page.write(out)
    assert "## The first set" in (tmp_path / "planted.md").read_text()
    with pytest.raises(UserError, match="a set of first, second"):
        planted_set.bench_planted("third", 1, out, quiet)


def test_a_question_that_is_refused_is_not_right(monkeypatch):
    def refuse(planted):
        raise UserError("prompts bank: expected others")

    monkeypatch.setattr(planted, "analysed", refuse)
    refused = planted.score("gate", 100)
    assert refused.word == "refused: prompts bank: expected others"
    assert not refused.hit
