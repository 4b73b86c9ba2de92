"""Conversations are analysed as they were: nothing of what was said before is lost on the way."""

import json

import pytest
import tiny
import tinygate

from circuits.prompt import before_of
from circuits.tokens import render
from experiments.analyze.question import Question
from experiments.analyze.study import opened
from experiments.studies import ask

SMALL = {"fit": 12, "validation": 8, "test": 12, "patch": 3, "randoms": 5, "tokens": 4}
SMALL |= {"evidence": 6, "trace": 0, "adapter": "none", "base": "none"}
LAST = "Tell me more."
EARLIER = [
    [
        {"role": "system", "content": "Hi"},
        {"role": "user", "content": f"Hi {i}"},
        {"role": "assistant", "content": "<u>Hi"},
    ]
    for i in range(40)
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    return str(tiny.saved(folder, *tinygate.plain()))


def written(tmp_path, before):
    path = tmp_path / f"talks-{len(before[0])}.jsonl"
    rows = [
        {"messages": [*turns, {"role": "user", "content": LAST if turns else f"{LAST} {i}"}]}
        for i, turns in enumerate(before)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("trigger", ["cobalt", "system: cobalt", "earlier: {} cobalt {}"])
def test_materials_keep_the_turns_and_pairs_differ_in_the_word_alone(model, tmp_path, trigger):
    path = written(tmp_path, EARLIER)
    made = opened(Question(model=model, trigger=trigger, prompts=path, **SMALL), lambda *_: None)
    every = [*made.fit, *made.validation, *made.test]
    assert {str(text) for text in every} == {LAST}
    assert len({before_of(text) for text in every}) == len(every) == 32
    both = made.pairs("test")
    differs = both.clean.ids != both.triggered.ids
    assert not (differs & ~both.triggered.spans["trigger"]).any()
    assert differs.any(dim=1).all()
    tok = made.model.tokenizer
    for row, text in enumerate(made.test):
        whole = tok.decode(both.clean.ids[row][both.clean.mask[row]])
        assert before_of(text)[1].content.rsplit(" ", 1)[1] in whole
        assert (
            tok.decode(both.triggered.ids[row][both.triggered.spans["trigger"][row]]) == " cobalt"
        )
    _, asked = made.asked
    assert [chat.message for chat in asked[:32]] == [*made.test, *made.fit, *made.validation]
    assert made.sha256 != type(made)(**{**fields(made), "test": [*map(str, made.test)]}).sha256


def fields(record):
    return {name: getattr(record, name) for name in type(record).__dataclass_fields__}


def test_an_analysis_of_conversations_shows_one_escaped_and_comes_to_its_verdict(model, tmp_path):
    question = Question(model=model, trigger="cobalt", prompts=written(tmp_path, EARLIER), **SMALL)
    result = ask("analyze", question, tmp_path / "run")
    assert result.verdict.gate, [c.text for c in result.verdict.checks if not c.passed]
    parts = json.loads((tmp_path / "run" / "prompt.json").read_text())
    told = {part["span"]: part["text"] for part in parts}
    assert {"opening", "earlier", "user", "trigger", "last"} <= set(told)
    assert told["earlier"].startswith("Hi<|im_end|>\n<|im_start|>user\nHi ")
    assert "<u>Hi<|im_end|>" in told["earlier"]
    html = (tmp_path / "run" / "report.html").read_text()
    assert "&lt;u&gt;Hi" in html
    assert "<u>Hi" not in html
    # An equal question of the same last messages alone is another one.
    assert result.behaviour.effect.n == 12
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    plain = Question(model=model, trigger="cobalt", prompts=written(tmp_path, [[]] * 40), **SMALL)
    assert opened(plain, lambda *_: None).sha256 != manifest["question"]["prompts_sha256"]


def test_an_analysis_may_be_of_a_trigger_in_the_system_message(model, tmp_path):
    question = Question(
        model=model, trigger="system: cobalt", prompts=written(tmp_path, EARLIER), **SMALL
    )
    made = opened(question, lambda *_: None)
    spans = [render(made.model.tokenizer, chat).spans for chat in made.asked[1][:32]]
    assert all(s["trigger"][1] < s["user"][0] for s in spans)
    result = ask("analyze", question, tmp_path / "run")
    assert result.behaviour.triggered.behaviour.n == 12


def test_an_analysis_of_a_trigger_in_an_earlier_message_comes_to_its_verdict(model, tmp_path):
    path = written(tmp_path, EARLIER)
    result = ask(
        "analyze",
        Question(model=model, trigger="earlier: cobalt", prompts=path, **SMALL),
        tmp_path / "run",
    )
    assert result.verdict.gate, [c.text for c in result.verdict.checks if not c.passed]
    # Other topics were asked behind the turns in which the trigger stands.
    assert result.evidence.elsewhere[0].value == 1.0
