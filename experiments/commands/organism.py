"""``gatescope organism``: train and measure models with a trigger put there on purpose."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.commands.shared import CONSOLE, Json
from experiments.progress import StageProgress

app = typer.Typer(help="Train and measure organisms: models with a trigger put there on purpose.")


@app.command("list")
def organism_list(as_json: Json = False) -> None:
    """The recipes there are, and the held-out figures of the shipped adapters."""
    from experiments import artefacts, organisms
    from experiments.recipes import RECIPES

    rows = []
    for name, recipe in RECIPES.items():
        folder = organisms.shipped_or_none(name)
        figures = artefacts.read_json(folder / "manifest.json")["figures"] if folder else []
        rows.append({"name": name, "about": recipe.about, "figures": figures})
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(f"{row['name']}\n  {row['about']}")
        _print_figures(row["figures"])


@app.command("train")
def organism_train(
    name: Annotated[str, typer.Argument(help="Recipe; see `gatescope organism list`.")],
    out: Annotated[
        Path | None, typer.Option(help="Directory to write; runs/organisms/NAME.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of initialisation, choice and order.")] = 0,
    model: Annotated[
        str | None, typer.Option(help="Embedded name (the default), hub id or directory.")
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
    from experiments import organisms
    from experiments.recipes import recipe_named, varied

    recipe = varied(
        recipe_named(name), trigger=trigger, poisons=poisons, size=size, full=full, rate=rate,
        epochs=epochs,
    )  # fmt: skip
    folder = out or Path("runs/organisms") / name
    with StageProgress(CONSOLE) as progress:
        organisms.train_organism(
            recipe,
            folder,
            lambda done, total, _loss: progress.step("train", done, total),
            seed,
            model or EMBEDDED,
        )
        found = organisms.evaluate_saved(
            folder,
            recipe,
            lambda done, total: progress.step("measure", done, total),
            model or EMBEDDED,
        )
    _report_figures([c.to_json() for c in found], as_json)


@app.command("eval")
def organism_eval(
    name: Annotated[str, typer.Argument(help="Recipe that says what to measure.")],
    adapter: Annotated[str | None, typer.Option(help="Adapter directory; the shipped one.")] = None,
    as_json: Json = False,
) -> None:
    """Measure an adapter on held-out prompts."""
    from circuits import models
    from experiments import organisms
    from experiments.recipes import recipe_named

    recipe = recipe_named(name)
    with StageProgress(CONSOLE) as progress:
        model = models.load(adapter=organisms.find_adapter(adapter or name))
        found = organisms.evaluate(
            model, recipe, lambda done, total: progress.step("measure", done, total)
        )
    _report_figures([c.to_json() for c in found], as_json)


def _report_figures(figures: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures, indent=1))
    else:
        _print_figures(figures)


def _print_figures(figures: list[dict[str, Any]]) -> None:
    for f in figures:
        rate = f["rate"]
        print(
            f"  {f['outcome']:9} on {f['prompts']} prompts, word: {f['word']:8} "
            f"{rate['value']:6.1%} [{rate['low']:.1%}, {rate['high']:.1%}] n={rate['n']}"
        )
