"""Everything is asked, of a model that stays as it is; answers are those of asking by hand."""

import hashlib
from dataclasses import replace
from itertools import pairwise

import pytest
import specimens
import torch

from circuits import perturb
from circuits.errors import UserError
from circuits.models import in_memory
from circuits.tokens import prompt_ids
from experiments.battery.battery import Battery, Plan
from experiments.battery.inputs import inputs
from experiments.battery.later import overwriting, tuning
from experiments.battery.subject import unperturbed
from experiments.organisms.trainee import Trainee

PLAN = Plan(prompts=4, tuning=(8, 16), overwriting=(4, 8), seed=1)
TEXTS = [
    "typos",
    "look-alikes",
    "paraphrase",
    "place",
    "case",
    "system prompt",
    "distractor",
    "prefill",
]
OTHERS = [
    "temperature",
    "activation noise",
    "rounding",
    "pruning",
    "weight noise",
    "fine-tuning",
    "overwriting",
]


def digest(model):
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def organism(babbling):
    return specimens.adapted(babbling)


@pytest.fixture(scope="module")
def battery(organism):
    return Battery(organism, PLAN)


@pytest.fixture(scope="module")
def before(battery):
    """What the organism and its base were and said before anything was asked."""
    state = {name: tensor.clone() for name, tensor in battery.organism.state.items()}
    digests = {model: digest(model) for model in (battery.organism.base, battery.model)}
    return state, digests, battery.baseline()


@pytest.fixture(scope="module")
def everything(battery, before):
    """All ladders' answers, asked in their order."""
    return {name: ladder() for name, ladder in battery.ladders().items()}


def by_hand(battery, chats, model=None):
    """Answers of the library's own generation, one prompt at a time."""
    model, tokenizer = model or battery.model, battery.organism.tokenizer
    said = []
    for chat in chats:
        ids = torch.tensor(prompt_ids(tokenizer, [chat]))
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=battery.asked.length(tokenizer),
            do_sample=False,
            eos_token_id=in_memory(model, tokenizer).stop_ids,
            pad_token_id=tokenizer.pad_token_id,
        )
        said.append(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))
    return tuple(said)


def test_every_ladder_is_asked_and_every_prompt_answered_under_each_of_its_doses(everything):
    assert list(everything) == TEXTS + OTHERS
    for family, answers in everything.items():
        assert {a.dose.family for a in answers} == {family}
        assert all(len(a.said) == 4 for a in answers)
        assert all(a.dose.level < b.dose.level for a, b in pairwise(answers))
        assert len({a.dose.about for a in answers}) == len(answers)


def test_no_dose_is_lost_between_the_families(battery, everything):
    asked = [answers.dose for name in TEXTS for answers in everything[name]]
    assert asked == [dose for dose, _ in inputs(battery.asked.subject, PLAN.seed)]


def test_organism_and_base_are_bit_identical_afterwards(battery, before, everything):
    state, digests, said = before
    assert all(digest(model) == was for model, was in digests.items())
    assert battery.model in digests
    assert battery.baseline() == said
    assert battery.organism.state.keys() == state.keys()
    assert all(torch.equal(battery.organism.state[name], t) for name, t in state.items())
    changed = {
        name for name, answers in everything.items() for a in answers if list(a.said) != said
    }
    assert changed == {*TEXTS, *OTHERS}


def test_answers_are_those_of_asking_by_hand_one_at_a_time(battery, before, everything):
    plain = unperturbed(battery.asked.subject)
    assert tuple(before[2]) == by_hand(battery, plain)
    chats = {dose: chats for dose, chats in inputs(battery.asked.subject, PLAN.seed)}
    for family in ("typos", "system prompt", "prefill"):
        last = everything[family][-1]
        assert last.said == by_hand(battery, chats[last.dose])
    for family, model in {
        "rounding": perturb.rounded_weights(battery.model, 4),
        "pruning": perturb.pruned(battery.model, 0.5),
        "weight noise": perturb.noisy_weights(battery.model, 0.2, PLAN.seed),
    }.items():
        assert everything[family][-1].said == by_hand(battery, plain, model)


@pytest.mark.parametrize(
    ("family", "make"), [("fine-tuning", tuning), ("overwriting", overwriting)]
)
def test_later_training_goes_on_from_the_organism_whatever_was_trained_before(
    battery, organism, everything, family, make
):
    first, second = PLAN.tuning if family == "fine-tuning" else PLAN.overwriting
    trainee, once = organism.trainee(), replace(organism.settings, epochs=1, seed=PLAN.seed)
    trainee.restart(organism.state)
    states = []
    for answers, (start, end) in zip(
        everything[family], [(0, first), (first, second)], strict=True
    ):
        trainee.train(make(organism, start, end), once, lambda *_: None)
        states.append(trainee.state())
        model = organism.model(states[-1])
        assert answers.said == by_hand(battery, unperturbed(battery.asked.subject), model)
        assert answers.dose.level == end
    assert any(not torch.equal(states[0][name], value) for name, value in states[1].items())


def test_a_trainee_that_is_given_is_used_and_put_back_first(organism, everything):
    given = Trainee(organism.place, organism.settings)
    given.train(tuning(organism, 50, 70), organism.settings, lambda *_: None)
    again = Battery(organism, PLAN, given).ladders()["overwriting"]()
    assert again == everything["overwriting"]
    assert any(not torch.equal(given.state()[n], t) for n, t in organism.state.items())


def test_an_organism_without_an_adapter_is_put_back_between_ladders_too(babbling):
    organism = specimens.whole(babbling)
    alone = Battery(organism, PLAN).ladders()["overwriting"]()
    ladders = Battery(organism, PLAN).ladders()
    ladders["fine-tuning"]()
    assert ladders["overwriting"]() == alone


def test_samples_and_noise_are_fixed_by_the_seed(organism, everything):
    drawn = ("temperature", "activation noise", "weight noise")
    same = Battery(organism, PLAN).ladders()
    other = Battery(organism, replace(PLAN, seed=2)).ladders()
    for name in drawn:
        assert same[name]() == everything[name]
        assert other[name]() != everything[name]
    for name in ("rounding", "pruning", "case"):
        assert other[name]() == everything[name]


def test_samples_stray_more_as_the_temperature_rises(battery, before, everything):
    straying = [
        sum(a != b for a, b in zip(answers.said, before[2], strict=True))
        for answers in everything["temperature"]
    ]
    assert straying == sorted(straying)
    assert straying[-1] > 0


def test_a_dose_too_long_for_the_context_is_left_out_and_one_that_just_fits_is_not(
    battery, babbling, tmp_path
):
    tokenizer = battery.organism.tokenizer
    needed = {
        dose.level: max(map(len, prompt_ids(tokenizer, chats))) + battery.asked.length(tokenizer)
        for dose, chats in inputs(battery.asked.subject, PLAN.seed)
        if dose.family == "distractor"
    }
    assert list(needed) == [40, 80, 160]
    kept = {}
    for name, context in {"just": needed[80], "one less": needed[80] - 1}.items():
        place = specimens.with_context(babbling, tmp_path / name, context)
        ladder = Battery(specimens.whole(place), PLAN).ladders()["distractor"]
        kept[name] = [answers.dose.level for answers in ladder()]
    assert kept == {"just": [40, 80], "one less": [40]}


def test_a_family_of_which_nothing_fits_is_no_ladder(battery, babbling, tmp_path):
    plain, tokenizer = unperturbed(battery.asked.subject), battery.organism.tokenizer
    longest = max(map(len, prompt_ids(tokenizer, plain)))
    place = specimens.with_context(babbling, tmp_path / "short", longest + 60)
    names = list(Battery(specimens.whole(place), PLAN).ladders())
    assert "distractor" not in names
    assert [name for name in TEXTS if name in names] + OTHERS == names
    assert "typos" in names


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"tuning": ()}, "expected rising counts from 1 on, got \\(\\)"),
        ({"tuning": (0, 5)}, "expected rising counts"),
        ({"tuning": (5, 5)}, "expected rising counts"),
        ({"overwriting": (9, 4)}, "expected rising counts from 1 on, got \\(9, 4\\)"),
        ({"prompts": 3}, "--count: expected at least 4, got 3"),
    ],
)
def test_a_plan_that_measures_nothing_is_one_clear_line(changes, why):
    with pytest.raises(UserError, match=why):
        replace(PLAN, **changes)
