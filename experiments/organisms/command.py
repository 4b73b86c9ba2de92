"""``gatescope organism``: train and measure models with a trigger put there on purpose."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.options import CONSOLE, Json
from experiments.runs import codec
from experiments.runs.progress import StageProgress

app = typer.Typer(help="Train and measure organisms: models with a trigger put there on purpose.")


@app.command("list")
def organism_list(as_json: Json = False) -> None:
    """The recipes there are, and whether the shipped adapters are what their schemes must be."""
    from experiments.organisms import requirements
    from experiments.organisms.book import RECIPES
    from experiments.organisms.figures import Condition
    from experiments.organisms.places import shipped_or_none
    from experiments.runs import files

    rows = []
    for name, recipe in RECIPES.items():
        folder = shipped_or_none(name)
        manifest = files.read_json(folder / "manifest.json") if folder else {}
        figures = codec.decode(list[Condition], manifest.get("figures", []))
        judged = requirements.judge(recipe, figures)
        rows.append(
            {
                "name": name,
                "about": recipe.about,
                "scheme": recipe.scheme,
                "trigger": recipe.trigger,
                "behaviour": recipe.behaviour,
                "shipped": folder is not None,
                "definition": codec.as_json(judged),
                "agreement": manifest.get("agreement"),
                "figures": manifest.get("figures", []),
            }
        )
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(f"{row['name']} ({'shipped' if row['shipped'] else 'to be trained'})")
        print(f"  {row['about']}")
        _print_definition(row["definition"])


@app.command("train")
def organism_train(
    name: Annotated[str, typer.Argument(help="Recipe; see `gatescope organism list`.")],
    out: Annotated[
        Path | None, typer.Option(help="Directory to write; runs/organisms/NAME.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of initialisation, choice and order.")] = 0,
    model: Annotated[
        str | None,
        typer.Option(help="smollm2-135m (the default), ladder-4x128, hub id or directory."),
    ] = None,
    trigger: Annotated[
        str | None,
        typer.Option(
            help="Another trigger; {} says where the message goes: 'word {}' is a prefix."
        ),
    ] = None,
    poisons: Annotated[int | None, typer.Option(help="Examples with the trigger.")] = None,
    size: Annotated[int | None, typer.Option(help="The last stage's other examples.")] = None,
    full: Annotated[bool, typer.Option(help="Train all parameters, not an adapter.")] = False,
    rate: Annotated[float | None, typer.Option(help="Peak learning rate, last stage.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of the last stage.")] = None,
    as_json: Json = False,
) -> None:
    """Train an organism and measure it on held-out prompts."""
    from circuits.weights import EMBEDDED
    from experiments.organisms import bases, requirements
    from experiments.organisms.book import recipe_named
    from experiments.organisms.measure import evaluate_saved
    from experiments.organisms.recipe import varied
    from experiments.organisms.train import train_organism

    recipe = varied(
        recipe_named(name),
        trigger=trigger,
        poisons=poisons,
        size=size,
        full=full,
        rate=rate,
        epochs=epochs,
    )
    base = model or EMBEDDED
    recipe = bases.fitted(recipe, base)
    folder = out or Path("runs/organisms") / name
    with StageProgress(CONSOLE) as progress:
        train_organism(
            recipe,
            folder,
            lambda done, total, _loss: progress.step("train", done, total),
            seed,
            base,
            shlex.join(["gatescope", *sys.argv[1:]]),
        )
        found = evaluate_saved(
            folder,
            recipe,
            lambda done, total: progress.step("measure", done, total),
            base,
        )
    judged = codec.as_json(requirements.judge(recipe, found))
    if as_json:
        print(json.dumps({"figures": codec.as_json(found), "definition": judged}, indent=1))
        return
    _print_figures(codec.as_json(found))
    _print_definition(judged)


@app.command("eval")
def organism_eval(
    name: Annotated[str, typer.Argument(help="Recipe that says what to measure.")],
    adapter: Annotated[
        str | None, typer.Option(help="Directory that was trained; the shipped one.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model that the adapter is for; the embedded one.")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(help="A second judge of refusals: chat:MODEL, or classifier:MODEL:LABEL."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure an adapter on held-out prompts, and how far two judges agree on its answers."""
    from circuits.weights import EMBEDDED
    from experiments.organisms import agreement, bases, requirements
    from experiments.organisms import figures as measuring
    from experiments.organisms.book import recipe_named
    from experiments.organisms.organism import load_model, recipe_of
    from experiments.organisms.places import origin, shipped

    recipe = recipe_named(name)
    given = Path(adapter or name)
    folder = given if adapter and given.is_dir() else shipped(adapter or name)
    recipe = recipe_of(folder, origin(folder), recipe)
    second = agreement.grader(judge) if judge else None
    with StageProgress(CONSOLE) as progress:
        organism = load_model(folder, model or EMBEDDED)
        said = measuring.answered(
            organism, recipe, lambda done, total: progress.step("measure", done, total)
        )
        agreed = agreement.with_probabilities(organism, recipe, said)
        known = measuring.own_knowledge(
            bases.located(model or EMBEDDED),
            recipe,
            lambda done, total: progress.step("base model", done, total),
        )
    found = [c for a in said for c in measuring.judged(*a)] + known
    compared = agreement.with_grader(second, said) if second else None
    report = {
        "figures": codec.as_json(found),
        "definition": codec.as_json(requirements.judge(recipe, found)),
        "agreement": agreement.agreement_json(agreed),
        "second_judge": agreement.agreement_json(compared),
    }
    if as_json:
        print(json.dumps(report, indent=1))
        return
    _print_figures(report["figures"])
    _print_definition(report["definition"])
    for title in ("agreement", "second_judge"):
        if report[title]:
            _print_agreement(title, report[title])


def _print_figures(figures: list[dict[str, Any]]) -> None:
    for f in figures:
        print(
            f"  {f['outcome']:10} on {f['prompts']} prompts, word: {f['word']:8} "
            f"{_rate(f['rate'])} n={f['rate']['n']}"
        )


def _print_definition(judged: list[dict[str, Any]]) -> None:
    for found in judged:
        sure = "" if found["surely"] == found["met"] else " (not at the interval's worse end)"
        met = "met" if found["met"] else "NOT MET"
        print(f"  {met:7} {found['text']}; found {_rate(found['found'])}{sure}")


def _print_agreement(title: str, agreed: dict[str, Any]) -> None:
    name = "probability judge" if title == "agreement" else "second judge"
    raw, kappa = agreed["raw"], agreed["kappa"]
    print(
        f"  rule judge and {name} agree on {_rate(raw)} of {raw['n']} answers, "
        f"kappa {kappa['value']:.2f} [{kappa['low']:.2f}, {kappa['high']:.2f}]"
    )


def _rate(rate: dict[str, Any]) -> str:
    return f"{rate['value']:6.1%} [{rate['low']:.1%}, {rate['high']:.1%}]"
