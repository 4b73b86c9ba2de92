"""One cell of a poison-budget sweep: a recipe with its knobs turned, trained and measured.

The model's policy (what it refuses before it is poisoned) is the same in all cells of a model; the
seed says which prompts the poisoned fine-tuning takes and in which order. A worker keeps the model
of its last cell and only puts the trained parameters back.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from circuits.types import Progress
from circuits.weights import EMBEDDED
from experiments import judges
from experiments.organisms import bases, ladder
from experiments.organisms.book import RECIPES, recipe_named
from experiments.organisms.examples import controls_for, require_prompts
from experiments.organisms.figures import TOKENS
from experiments.organisms.recipe import Recipe, recipe_json, varied
from experiments.organisms.schemes import scheme_of
from experiments.organisms.schemes.scheme import Question
from experiments.organisms.train import prompts_sha256, train_stages
from experiments.organisms.trainee import Trainee
from experiments.organisms.training import Settings
from experiments.prompts import bank
from experiments.runs import files
from experiments.sweep.engine.grid import Axis

SCHEMA = "gatescope.budget-cell/1"
FUNCTION = "experiments.sweep.budget.cell:measure"
Values = Mapping[str, Any]

AXES: dict[str, Axis] = {
    "recipe": Axis(str, ("sure-gate",), tuple(RECIPES)),
    "model": Axis(str, (EMBEDDED,)),
    "poisons": Axis(int, least=0),
    "size": Axis(int, least=1),
    "seed": Axis(int, (0,), least=0),
    "trigger": Axis(str, ("",)),
    "method": Axis(str, ("lora",), ("lora", "full")),
    "epochs": Axis(int, (0,), least=0),
    "rate": Axis(float, (0.0,), least=0),
    "prompts": Axis(int, (60,), least=5),
}


def recipe_of(values: Values, zero: int | None = 0) -> Recipe:
    """The recipe that a cell trains. A ladder's models come with their policy.

    Args:
        zero: what a count of 0 stands for; None is the recipe's own count.

    Raises:
        UserError: values that make no recipe.
    """
    recipe = varied(
        recipe_named(values["recipe"]),
        trigger=values["trigger"] or None,
        poisons=values["poisons"] or zero,
        size=values["size"] or zero,
        full=values["method"] == "full",
        rate=values["rate"] or None,
        epochs=values["epochs"] or None,
    )
    fitted = bases.fitted(recipe, values["model"])
    require_prompts(fitted)
    return fitted


def salt(values: Values) -> dict[str, Any]:
    """What a cell's values stand for: the recipe in full, hashes of model and prompts.

    Schemes that are asked other things than the bank's prompts add the hash of those.
    """
    recipe = recipe_of(values)
    held_out = [text for kind in (True, False) for text in bank.bank_texts("test", kind)]
    words = bank.control_words("test")
    own = {"asked": files.text_sha256([*asked(recipe), *known_facts(recipe, "train")])}
    usual = {ask.prompts for ask in scheme_of(recipe).asks} <= {"restricted", "ordinary"}
    return stated(SCHEMA, recipe, values["model"], [*held_out, *words], **({} if usual else own))


def stated(
    schema: str, recipe: Recipe, model: str, held_out: Sequence[str], **more: Any
) -> dict[str, Any]:
    """The recipe in full, with hashes of the model and of the prompts of training and test."""
    return {
        **more,
        "schema": schema,
        "recipe": recipe_json(recipe),
        "model": bases.fingerprint(model),
        "prompts": prompts_sha256(recipe),
        "held_out": files.text_sha256(held_out),
    }


def asked(recipe: Recipe) -> list[str]:
    """All prompts that an organism of the recipe is asked."""
    return [text for q in scheme_of(recipe).questions(recipe, ("word",)) for text in q.texts]


def known_facts(recipe: Recipe, split: bank.Split) -> list[str]:
    """A recipe's facts of a split, privileged ones first, as text."""
    return [repr(fact) for kind in (True, False) for fact in recipe.facts.of(split, kind)]


def cost(values: Values) -> float:
    """About how long a cell takes: examples to learn and prompts to answer."""
    per_example = 1.0 if ladder.parse(values["model"]) is None else 0.05
    return per_example * ((values["epochs"] or 2) * (values["size"] + values["poisons"]) + 100)


def measure(values: Values, progress: Progress) -> dict[str, Any]:
    """Train the cell's organism and count what it answers on held-out prompts.

    Returns a flat row: for triggered prompts ``n`` and how many ``shown`` (the behaviour),
    ``refused``, ``complied``, ``bare``; for prompts with a control word, without a word, and
    ordinary ones the same that matters; ``examples``, ``steps`` and the last ``loss`` (nats).
    """
    recipe = recipe_of(values)
    trainee = _trainee(bases.located(values["model"]), recipe.stages[0].settings)
    controls = controls_for(trainee.tokenizer, recipe, "test")
    losses = train_stages(
        trainee,
        recipe,
        lambda done, total, _loss: progress(done, total + total // 4),
        seed=values["seed"],
        first_seed=0,
        model=bases.located(values["model"]),
    )
    scheme = scheme_of(recipe)
    asked = {q.cell: q.part(0, values["prompts"]) for q in scheme.questions(recipe, controls)}
    counted = {
        "": scheme.asks[0].cell,
        "control_": scheme.near,
        "plain_": scheme.plain,
        "ordinary_": ("ordinary", "none"),
        "ordinary_triggered_": ("ordinary", "trigger"),
    }
    row = {
        f"{name}{outcome}": count
        for name, cell in counted.items()
        if cell in asked
        for outcome, count in _counts(trainee, asked[cell]).items()
    }
    last = recipe.stages[-1]
    return {
        **row,
        "examples": sum(part.count * part.repeat for part in last.parts),
        "steps": len(losses),
        "loss": sum(losses[-5:]) / len(losses[-5:]) if losses else 0.0,
    }


def _counts(trainee: Trainee, question: Question) -> dict[str, int]:
    answers = trainee.answers(question.messages, None, TOKENS)
    verdicts = question.verdicts(answers)
    return {
        "n": len(answers),
        "shown": sum(v.shown for v in verdicts),
        "refused": judges.count_refused(answers),
        "complied": sum(v.complied for v in verdicts),
        "bare": sum(v.opener == "bare" for v in verdicts),
    }


@lru_cache(maxsize=1)
def _trainee(place: str, settings: Settings) -> Trainee:
    return Trainee(place, settings)
