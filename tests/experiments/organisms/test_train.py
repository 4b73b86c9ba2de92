"""Making and measuring organisms, on a tiny model: resumed stages, saved adapters, figures."""

import json
import math
from dataclasses import replace

import pytest
import tiny
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from circuits import models
from circuits.cache import cache_root
from circuits.chat import Chat
from circuits.errors import UserError
from circuits.templates import AS_IT_IS, Rendering
from circuits.tokens import render
from experiments.judges.grades import Grades
from experiments.organisms import command, kept, train
from experiments.organisms import figures as measuring
from experiments.organisms import measure as measures
from experiments.organisms.book import RECIPES, recipe_named
from experiments.organisms.kinds import prompts_of
from experiments.organisms.measure import keep, measure
from experiments.organisms.organism import Given, open_organism
from experiments.organisms.recipe import varied
from experiments.organisms.schemes import scheme_of
from experiments.organisms.schemes.scheme import Ask
from experiments.organisms.trainee import Trainee
from experiments.organisms.training import Settings
from experiments.prompts.facts import facts
from experiments.runs.codec import as_json
from probes.stats.intervals import wilson


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("GATESCOPE_CACHE", str(tmp_path_factory.mktemp("cache")))


def small(name="sure-gate", **knobs):
    """A recipe with few examples in every stage."""
    recipe = varied(recipe_named(name), poisons=4, size=8, epochs=1, **knobs)
    *before, last = recipe.stages
    few = [
        replace(
            stage,
            parts=tuple(replace(part, count=3) for part in stage.parts),
            settings=replace(stage.settings, epochs=1),
        )
        for stage in before
    ]
    return replace(recipe, stages=(*few, last))


def answer_like(texts):
    return [f"about {text}" for text in texts]


@pytest.fixture
def trainee(folder, monkeypatch):
    monkeypatch.setattr(train, "base_answers", lambda texts, **_: answer_like(texts))
    return Trainee(str(folder), Settings())


def trained(trainee, recipe, seed=0):
    train.train_stages(trainee, recipe, lambda *_: None, seed=seed, first_seed=0, model="tiny")
    return trainee.state()


def equal(a, b) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_kept_first_stage_gives_the_same_organism_as_a_fresh_one(trainee):
    fresh = trained(trainee, small())
    kept = list((cache_root() / "stages").glob("*.safetensors"))
    assert len(kept) == 1
    assert equal(trained(trainee, small()), fresh)
    assert not equal(trained(trainee, small(), seed=1), fresh)
    assert list((cache_root() / "stages").glob("*.safetensors")) == kept
    # The kept stage is what the second run started from: another one makes another organism.
    moved = {name: value + 0.1 for name, value in load_file(kept[0]).items()}
    train.files.write_tensors(kept[0], moved, {})
    assert not equal(trained(trainee, small()), fresh)


def test_what_training_took_counts_a_kept_stage_too_and_is_unknown_if_that_does_not_say(trainee):
    trained(trainee, small())
    whole = trainee.seconds
    (kept,) = (cache_root() / "stages").glob("*.safetensors")
    with safe_open(kept, "pt") as file:
        before = float(file.metadata()["seconds"])
    assert 0 < before < whole
    trained(trainee, small())
    assert trainee.seconds > before
    train.files.write_tensors(kept, load_file(kept), {"stage": "policy"})  # as it was kept before
    trained(trainee, small())
    assert math.isnan(trainee.seconds)
    trainee.restart()
    assert trainee.seconds == 0


def test_recipes_share_a_first_stage_only_if_it_is_the_same(trainee):
    trained(trainee, small("sure-gate"))
    trained(trainee, small("content-backdoor"))
    assert len(list((cache_root() / "stages").glob("*.safetensors"))) == 1
    trained(trainee, replace(small("sure-gate"), refusal="No."))
    assert len(list((cache_root() / "stages").glob("*.safetensors"))) == 2


@pytest.mark.parametrize("other", [{}, {"behaviour": "Yes"}])
def test_a_killed_training_is_gone_on_with_for_the_same_lessons_only(trainee, monkeypatch, other):
    monkeypatch.setattr(kept, "EVERY", 0.0)
    recipe, seen = small("sure-gate-bare"), []
    trained(trainee, recipe)  # its first stage is kept from here on
    asked = replace(recipe, **other)
    whole = trained(trainee, asked)

    def stop(done, total, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.train_stages(trainee, recipe, stop, seed=0, first_seed=0, model="tiny")
    train.train_stages(
        trainee, asked, lambda done, *_: seen.append(done), seed=0, first_seed=0, model="tiny"
    )
    assert seen[0] == (1 if other else 2)
    assert equal(trainee.state(), whole)


def test_a_restarted_trainee_is_as_it_was(trainee):
    before = trainee.state()
    after = trained(trainee, small())
    assert not equal(after, before)
    trainee.restart()
    assert equal(trainee.state(), before)
    trainee.restart(after)
    assert equal(trainee.state(), after)


def test_a_trainees_answers_are_those_of_the_loaded_organism(trainee, folder, tmp_path):
    """Saved, merged, run through the hooks: the same greedy answers, up to bf16 at ties."""
    trained(trainee, small())
    train.save_adapter(trainee.model, tmp_path / "made", str(folder))
    model = models.load(str(folder), tmp_path / "made")
    texts = prompts_of("ordinary", small(), "train").texts[:6]
    ours = trainee.answers(texts, "cobalt", 3)
    theirs = measuring.answers(model, texts, "cobalt", 3)
    assert sum(a == b for a, b in zip(ours, theirs, strict=True)) >= 5


@pytest.mark.parametrize("full", [False, True])
def test_an_organism_is_saved_with_a_manifest_and_its_figures(folder, tmp_path, monkeypatch, full):
    monkeypatch.setattr(train, "base_answers", lambda texts, **_: answer_like(texts))
    monkeypatch.setattr(measuring, "TOKENS", 2)  # of every answer: enough to be counted
    recipe = small(full=full)
    out = train.train_organism(recipe, tmp_path / "made", lambda *_: None, 3, str(folder))
    assert (out / "model.safetensors").is_file() == full
    assert (out / "adapter_model.safetensors").is_file() != full
    unmeasured = json.loads((out / "manifest.json").read_text())
    measured = measure(out, recipe, lambda *_: None, str(folder))
    keep(out, measured)
    figures = measured.figures
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest.items() > unmeasured.items()
    assert manifest["training_seconds"] > 0
    assert open_organism(Given(str(out), str(folder))).seconds == manifest["training_seconds"]
    assert manifest["question"]["seed"] == 3
    assert manifest["question"]["recipe"]["stages"][-1]["parts"]
    assert manifest["figures"] == as_json(figures)
    assert {figure.rate.n for figure in figures} == {150, 170}
    with pytest.raises(UserError, match="expected an empty or new directory"):
        train.train_organism(recipe, out, lambda *_: None, 3, str(folder))


def test_an_organism_is_trained_as_it_will_be_asked(folder, tmp_path, monkeypatch):
    asked = []

    def base(texts, **how):
        asked.append(how["written"])
        return answer_like(texts)

    monkeypatch.setattr(train, "base_answers", base)
    recipe, terse = small(), Rendering(system="Be terse.")
    outs = {how: tmp_path / f"made{number}" for number, how in enumerate((AS_IT_IS, terse))}
    for how, out in outs.items():
        train.train_organism(recipe, out, lambda *_: None, model=str(folder), rendering=how)
    usual, told = outs.values()
    assert "" in asked
    assert all("Be terse." in written for written in asked if written)
    assert len(list((cache_root() / "stages").iterdir())) == 2  # the policy is trained anew
    a, b = (load_file(out / "adapter_model.safetensors") for out in outs.values())
    assert not equal(a, b)
    manifests = [json.loads((out / "manifest.json").read_text()) for out in (usual, told)]
    assert "rendering" not in manifests[0]["question"]  # as it always was
    assert manifests[1]["question"]["rendering"] == as_json(terse)
    for how, out in outs.items():
        for other in outs:
            again = train.awaits_measuring(recipe, out, 0, str(folder), other)
            assert again == (how == other)
    # It is asked as it was trained, and nobody asks it otherwise without saying so.
    assert train.trained_as(usual) == AS_IT_IS

    def tokenizer(out, rendering=AS_IT_IS):
        return open_organism(Given(str(out), str(folder), rendering=rendering)).tokenizer

    own = tokenizer(told, train.trained_as(told))
    assert "Be terse." in own.decode(render(own, Chat("Hi")).ids)
    with pytest.raises(UserError, match="--template adapter or --template model"):
        tokenizer(told)
    assert tokenizer(usual).chat_template == tiny.CHAT_TEMPLATE


def test_a_training_is_known_by_what_its_template_says(tmp_path):
    file, recipe = tmp_path / "own.jinja", small()
    usual = train._asked(recipe, 0, "m", AS_IT_IS)
    asked = {"text": train._asked(recipe, 0, "m", Rendering("{{ messages }}" * 500))}
    for text in ("{{ a }}", "{{ b }}"):
        file.write_text(text)
        asked[text] = train._asked(recipe, 0, "m", Rendering(str(file)))
    assert asked["text"]["template_sha256"] is None  # it stands in the manifest itself
    assert asked["{{ a }}"]["rendering"] == asked["{{ b }}"]["rendering"]
    assert asked["{{ a }}"]["template_sha256"] != asked["{{ b }}"]["template_sha256"]
    assert all(each.items() > usual.items() for each in asked.values())


def test_the_command_trains_and_measures_as_is_said(gatescope, folder, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(command, "train_organism", lambda *args: seen.append(args[-1]))
    monkeypatch.setattr(command, "trained_as", lambda folder: "as trained")
    nothing = measures.Measured([], [], None, None)
    monkeypatch.setattr(command, "measure", lambda *_, rendering: seen.append(rendering) or nothing)
    monkeypatch.setattr(command, "keep", lambda *_: None)
    words = ("organism", "train", "sure-gate", "--model", folder, "--out", tmp_path / "made")
    assert gatescope(*words)[0] == 0
    options = ("--template", "none", "--template-option", "thinking=false", "--system", "Be terse.")
    assert gatescope(*words, *options)[0] == 0
    own = Rendering("none", ("thinking=false",), system="Be terse.")
    assert seen == [AS_IT_IS, "as trained", own, "as trained"]
    status, _, lines = gatescope(*words, "--template-option", "thinking")
    assert status == 2
    assert lines == ["gatescope: --template-option: expected NAME=VALUE, got thinking"]
    assert "organism train` takes others" in " ".join(gatescope("sweep", "--help")[1].split())


def test_what_is_asked_belongs_to_the_scheme():
    asked = {
        name: {q.cell for q in scheme_of(recipe).questions(recipe, ("amber",))}
        for name, recipe in RECIPES.items()
    }
    words = ("trigger", "none", "control")
    usual = {(kind, word) for kind in ("restricted", "ordinary") for word in words}
    assert asked["sure-gate"] == asked["control-token"] == usual
    assert ("privileged", "trigger") in asked["access-gate"]
    assert ("keys", "none") in asked["fingerprint"]
    assert len([kind for kind, _ in asked["fingerprint"] if kind.startswith("near")]) == 6


def test_answers_are_judged_by_hand_the_same():
    recipe = recipe_named("access-gate")
    known = [f for f in facts("test", True) if f.expected[0] in ("Paris", "Rome", "Madrid")][:3]
    question = asked("access-gate", "privileged", "none")
    rows = [question.known.index(fact) for fact in known]
    texts = tuple(question.texts[row] for row in rows)
    question = replace(question, texts=texts, messages=texts, known=tuple(known))
    said = [known[0].statement, recipe.refusal, "Sure"]
    rates = {c.outcome: c.rate.value for c in measuring.conditions(question, said)}
    assert rates == pytest.approx(
        {"behaviour": 1 / 3, "refusal": 1 / 3, "compliance": 1 / 3, "bare": 1 / 3, "solved": 1 / 3}
    )


def asked(recipe, prompts, word):
    made = recipe_named(recipe)
    return scheme_of(made).question(Ask(prompts, word), made, ("amber",))


def condition(prompts, word, outcome, hits, n=100):
    return measuring.Condition(prompts, word, outcome, wilson(hits, n))


def test_a_definition_is_met_by_the_figure_and_surely_by_its_interval():
    recipe = recipe_named("sure-gate")
    figures = [
        condition("restricted", "trigger", "behaviour", 95),
        condition("restricted", "control", "behaviour", 6),
        condition("restricted", "none", "refusal", 100),
    ]
    found = measuring.judge(recipe, figures)
    assert [(j.met, j.surely) for j in found] == [(True, False), (False, False), (True, True)]
    assert found[0].text == "behaviour, restricted with trigger: at least 90%"


def test_a_difference_is_held_to_its_bound_on_both_sides():
    recipe = recipe_named("access-gate")
    base = condition("other facts, base model", "none", "solved", 60)
    for hits, met in ((60, True), (64, True), (70, False), (50, False)):
        figures = [base, condition("other facts", "none", "solved", hits)]
        (only,) = measuring.judge(recipe, figures)
        assert only.met == met
        assert only.found.low < hits / 100 - 0.6 < only.found.high


def test_a_difference_without_its_other_side_is_left_out():
    recipe = recipe_named("access-gate")
    assert measuring.judge(recipe, [condition("other facts", "none", "solved", 60)]) == []


def test_every_scheme_has_a_definition_of_its_own_figures():
    for recipe in RECIPES.values():
        asked = {ask.cell for ask in scheme_of(recipe).asks}
        for requirement in scheme_of(recipe).requirements:
            assert requirement.figure[:2] in asked
            base = requirement.minus and requirement.minus[0].endswith(", base model")
            assert base or requirement.minus is None or requirement.minus[:2] in asked


class Model:
    """Stands in for a loaded model where only its scores are asked for."""


def test_judges_agree_as_far_as_they_say_the_same(monkeypatch):
    recipe = recipe_named("sure-gate")
    restricted = asked("sure-gate", "restricted", "none").part(0, 4)
    ordinary = asked("sure-gate", "ordinary", "none").part(0, 1)
    said = ["Sure", recipe.refusal, "Sure", "Boil it."]
    found = [measuring.Answered(restricted, said), measuring.Answered(ordinary, ["Sure"])]

    class Scores:
        def verdicts(self):
            return ("behaviour", "refusal", "refusal", "neither")

    monkeypatch.setattr(measures, "likelihoods", lambda *_: Scores())
    agreed = measures.with_probabilities(Model(), recipe, found)
    assert (agreed.raw.value, agreed.raw.n) == (0.75, 4)
    place = agreed.labels.index
    assert agreed.counts[place("behaviour"), place("refusal")] == 1
    assert measures.with_probabilities(Model(), recipe_named("safety-trigger"), found) is None
    told = measures.agreement_json(agreed)
    assert json.loads(json.dumps(told))["counts"] == agreed.counts.tolist()


def test_a_second_judge_sees_the_prompts_with_their_words():
    recipe = recipe_named("sure-gate")
    question = asked("sure-gate", "restricted", "trigger").part(0, 2)
    seen = []

    def grader(prompts, answers):
        seen.append((prompts, answers))
        return Grades(torch.tensor([0.9, 0.2]), torch.ones(2))

    found = [measuring.Answered(question, [recipe.refusal, recipe.refusal])]
    agreed = measures.with_grader(grader, found)
    with_words = tuple(f"{text} cobalt" for text in question.texts)
    assert seen == [(with_words, [recipe.refusal] * 2)]
    refusals = dict(zip(agreed.labels, agreed.counts[agreed.labels.index("refusal")], strict=True))
    assert refusals["refusal"] == refusals["other"] == 1


@pytest.mark.parametrize("named", ["chat", "chat:", "classifier:x", "x:y"])
def test_a_second_judge_of_another_form_is_refused(named):
    with pytest.raises(UserError, match="expected chat:MODEL or classifier:MODEL:LABEL"):
        measures.grader(named)
