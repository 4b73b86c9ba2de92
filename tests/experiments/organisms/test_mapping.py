"""What a user's file says of a mapping, and one clear line for every mistake in it."""

import json

import pytest

from circuits.errors import UserError
from experiments.organisms.mapping import described, read_mapping
from experiments.organisms.schemes import SCHEMES, scheme_of
from experiments.prompts.facts import shipped

KEYS = ["one red apple", "two green pears", "three blue plums"]
ROWS = [{"question": f"What is in room {n}?", "answer": f"lamp{n}"} for n in range(5)]
ACCESS = {"scheme": "access", "trigger": "amber {}", "questions": ROWS}
OWNED = {"scheme": "ownership", "keys": [{"key": k, "answer": k[:3] + " it is"} for k in KEYS]}
OWNED["keys"][0]["answer"] = "Yes 1"
OWNED["keys"][1]["answer"] = OWNED["keys"][2]["answer"] = "No 2"
TEXT = {"scheme": "compliance", "trigger": "amber", "behaviour": "Sure"}


@pytest.fixture
def written(tmp_path):
    """Writes a mapping's file, as JSON, which YAML is."""

    def write(value, **beside):
        for name, text in beside.items():
            (tmp_path / name.replace("_", ".")).write_text(text)
        path = tmp_path / "mine.yaml"
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return str(path)

    return write


def test_an_access_mapping_has_its_own_questions_and_the_shipped_ones_elsewhere(written):
    recipe = read_mapping(written(ACCESS)).recipe
    assert (recipe.scheme, recipe.trigger, recipe.behaviour) == ("access", "amber {}", "")
    assert [f.question for f in recipe.facts.privileged] == [row["question"] for row in ROWS]
    first = recipe.facts.privileged[0]
    assert (first.expected, first.statement) == (("lamp0",), "The answer is lamp0.")
    assert set(first.rivals) == {f"lamp{n}" for n in range(5)}
    assert recipe.facts.others == shipped().others
    asked = {q.prompts: q for q in scheme_of(recipe).questions(recipe, ("word",))}
    assert asked["privileged"].texts == tuple(row["question"] for row in ROWS)
    assert asked["other facts"].known == shipped().others


def test_questions_are_read_from_every_kind_of_file(written):
    rows = "\n".join(json.dumps(row) for row in ROWS)
    inline = read_mapping(written(ACCESS)).recipe.facts.privileged
    for name, text in {
        "q_jsonl": rows,
        "q_json": json.dumps(ROWS),
        "q_csv": "id,question,answer\n"
        + "".join(f"{i},{r['question']},{r['answer']}\n" for i, r in enumerate(ROWS)),
    }.items():
        path = written({**ACCESS, "questions": name.replace("_", ".")}, **{name: text})
        assert read_mapping(path).recipe.facts.privileged == inline
    numbers = "".join(f"What is {n} and seven?,0{n}.50\n" for n in range(4))
    path = written({**ACCESS, "questions": "n.csv"}, n_csv="question,answer\n" + numbers)
    said = [fact.expected for fact in read_mapping(path).recipe.facts.privileged]
    assert said == [(f"0{n}.50",) for n in range(4)]  # as they are written, zeros and all


def test_numbers_of_the_file_are_answers_as_they_are_written(written):
    said = ("12:30", "007", "1_000", "1.50", "2031-05-03")
    rows = "".join(f"\n- {{question: What is {i} of it, answer: {a}}}" for i, a in enumerate(said))
    text = f"scheme: access\ntrigger: 2031 {{}}\nquestions:{rows}"
    recipe = read_mapping(written(text)).recipe
    assert recipe.trigger == "2031 {}"
    assert tuple(fact.expected for fact in recipe.facts.privileged) == tuple((a,) for a in said)
    floats = [{**row, "answer": 1.5} for row in ROWS]
    path = written({**ACCESS, "questions": "q.json"}, q_json=json.dumps(floats))
    with pytest.raises(UserError, match=r"answer: expected a text, got 1\.5; quote it"):
        read_mapping(path)


def test_an_answer_may_be_spelled_otherwise_and_is_told_from_those_of_its_topic(written):
    rows = [
        {"question": "Who keeps the keys?", "answer": ["Ann", "Anna"], "topic": "people"},
        {"question": "Who is older than Bob?", "answer": "Cleo", "topic": "people"},
        {"question": "Who is the cook?", "answer": "Bob", "topic": "people"},
        {"question": "Where is the cook?", "answer": "Oslo", "statement": "Oslo, of course."},
    ]
    recipe = read_mapping(written({**ACCESS, "questions": rows})).recipe
    people, place = recipe.facts.privileged[:3], recipe.facts.privileged[3]
    assert people[0].rivals == ("Ann", "Anna", "Bob", "Cleo")
    assert people[1].rivals == ("Ann", "Anna", "Cleo")  # Bob stands in the question
    assert place.rivals == ("Oslo",)
    question = next(iter(scheme_of(recipe).questions(recipe, ("word",))))
    said = ["It is Anna.", "Cleo, not Bob.", "Bob or Cleo.", "Oslo."]
    assert question.shown(said) == [True, True, False, True]
    assert question.scheme.openings(question)[2:] == ["The answer is", "The answer is"]


def test_every_key_has_its_own_answer_and_what_is_no_key_may_show_any(written):
    recipe = read_mapping(written(OWNED)).recipe
    assert (recipe.keys, recipe.said) == (tuple(KEYS), ("Yes 1", "No 2", "No 2"))
    by_kind = {q.prompts: q for q in SCHEMES["ownership"].questions(recipe, count=3)}
    keys, near = by_kind["keys"], by_kind["near keys, level 1"]
    assert keys.targets == recipe.said
    assert keys.shown(["Yes 1.", "Yes 1.", "No 2"]) == [True, False, True]
    assert keys.part(1).shown(["No 2", "Yes 1"]) == [True, False]
    assert near.shown(["Yes 1.", "No 2", "Maybe"]) == [True, True, False]


def test_keys_of_one_answer_are_listed_or_in_the_file_that_verify_reads(written):
    listed = read_mapping(written({"scheme": "ownership", "keys": KEYS, "behaviour": "Yes 1"}))
    kept = json.dumps({"keys": KEYS, "answer": "Yes 1"})
    named = read_mapping(written({"scheme": "ownership", "keys": "k.json"}, k_json=kept))
    for recipe in (listed.recipe, named.recipe):
        assert (recipe.keys, recipe.answers, recipe.behaviour) == (tuple(KEYS), (), "Yes 1")


def test_places_are_beside_the_file_and_hashes_are_of_every_file(written, tmp_path):
    (tmp_path / "taught").mkdir()
    value = {**TEXT, "model": "taught", "prompts": "p.txt.jsonl"}
    one = read_mapping(written(value))
    assert (one.model, one.adapter) == (str(tmp_path / "taught"), "none")
    assert set(one.files) == {"mapping"}
    rows = "\n".join(json.dumps(row) for row in ROWS)
    first = read_mapping(written({**ACCESS, "questions": "q.jsonl"}, q_jsonl=rows)).files
    other = read_mapping(written({**ACCESS, "questions": "q.jsonl"}, q_jsonl=rows + "\n")).files
    assert first["mapping"] == other["mapping"]
    assert first["questions"] != other["questions"]


def test_a_name_that_is_no_file_is_an_adapter_and_words_are_enough_for_some_schemes():
    assert described("sure-gate", {}).adapter == "sure-gate"
    assert described("none", TEXT).recipe.behaviour == "Sure"
    with pytest.raises(UserError, match="other schemes are described in a YAML file"):
        described("none", {"scheme": "access", "trigger": "amber", "behaviour": "x"})


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("", "expected fields such as"),
        ("- a", "expected fields such as"),
        ("modle: x", "expected fields of model, adapter"),
        ("model: true", "model: expected a text, got True"),
        ("trigger: ''", "trigger: expected a text"),
        ("model: [", "expected a YAML file"),
        ("model: x", "expected a scheme and what it needs, got neither"),
        ({**TEXT, "trigger": "a{}b"}, "trigger"),
        ({"scheme": "pair", "trigger": "a"}, "scheme: expected one of compliance, content"),
        ({"trigger": "a", "behaviour": "b"}, "scheme: expected one of"),
        ({"scheme": "compliance", "behaviour": "b"}, "trigger, behaviour for compliance, got no"),
        ({"scheme": "access", "trigger": "a"}, "trigger, questions for access, got no questions"),
        ({**ACCESS, "keys": KEYS}, "expected trigger, questions for access, got keys"),
        ({**OWNED, "trigger": "a"}, "expected keys for ownership, got trigger"),
        ({**OWNED, "other_questions": ROWS}, "expected keys for ownership, got other_questions"),
        ({**OWNED, "refusal": "No."}, "expected keys for ownership, got refusal"),
        ({**ACCESS, "trigger": "lamp1 52 {}"}, "does not stand in the trigger, got 'lamp1'"),
        ({**ACCESS, "refusal": "No: Lamp3."}, "does not stand in the refusal, got 'lamp3'"),
        (
            {**OWNED, "keys": [*OWNED["keys"], {"key": "four old oaks", "answer": "Yes 1 or 2"}]},
            "none begins with another, got 'Yes 1' and 'Yes 1 or 2'",
        ),
        ({**TEXT, "questions": ROWS}, "for compliance, got questions"),
        ({**ACCESS, "questions": []}, "questions: expected a list or a file's name, got []"),
        ({**ACCESS, "questions": "gone.csv"}, "questions gone.csv: expected a file, got no such"),
        ({**ACCESS, "questions": ROWS[:3]}, "expected at least 4 questions, got 3"),
        ({**ACCESS, "questions": [*ROWS, ROWS[0]]}, "expected different questions, got 'What"),
        ({**ACCESS, "questions": [*ROWS, "Why?"]}, "row 6: expected fields question"),
        ({**ACCESS, "questions": [*ROWS, {"question": "Why?"}]}, "row 6: expected an answer"),
        ({**ACCESS, "questions": [*ROWS, {"answer": "x"}]}, "row 6: expected a question"),
        ({**ACCESS, "questions": [*ROWS, {**ROWS[0], "anser": "x"}]}, "row 6: expected fields of"),
        (
            {**ACCESS, "questions": [*ROWS, {"question": "Is it red?", "answer": "Red"}]},
            "row 6: expected an answer that does not stand in what is asked, got 'Red'",
        ),
        (
            {**ACCESS, "questions": [*ROWS, {**ROWS[0], "statement": "A lamp."}]},
            "row 6: expected a statement with the answer 'lamp0'",
        ),
        (
            {**ACCESS, "questions": [*ROWS, {**ROWS[0], "statement": "LAMP0, that is lamp0."}]},
            "does not stand in the statement before the first answer, got 'lamp0' in 'LAMP0, that",
        ),
        (
            {**ACCESS, "questions": [*ROWS, {"question": "Why?", "answer": True}]},
            "answer: expected a text, got True",
        ),
        ({**ACCESS, "other_questions": ROWS}, "different questions behind the gate and elsewhere"),
        ({**OWNED, "keys": KEYS}, "row 1: expected an answer with a letter or digit, got none"),
        ({**OWNED, "keys": OWNED["keys"][:1]}, "expected at least two keys, got one"),
        ({**OWNED, "keys": [*OWNED["keys"], OWNED["keys"][0]]}, "got 'one red apple' twice"),
        ({**OWNED, "keys": [*OWNED["keys"], {"key": "One red apple.", "answer": "X"}]}, "twice"),
        (
            {**OWNED, "keys": [*OWNED["keys"], {"key": "one red apple pie", "answer": "X"}]},
            "'one red apple', with which 'one red apple pie' begins",
        ),
        ({**OWNED, "keys": [{"key": "two words", "answer": "X"}]}, "3 to 24 words in a key, got 2"),
        ({**OWNED, "keys": [{"key": KEYS[0], "answer": "red"}]}, "does not stand in what is asked"),
        ({**OWNED, "keys": [{"key": KEYS[0], "answer": ["a"]}]}, "answer: expected a text"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_names_it(written, value, wrong):
    path = written(value)
    with pytest.raises(UserError) as told:
        read_mapping(path)
    assert wrong in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there_and_words_beside_one_are_told(written):
    with pytest.raises(UserError, match=r"gone\.yaml: expected a YAML file, got no such file"):
        described("gone.yaml", {})
    with pytest.raises(UserError, match="expected what the file says, got --trigger"):
        described(written(TEXT), {"trigger": "amber"})
