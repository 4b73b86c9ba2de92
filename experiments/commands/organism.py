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
    seed: Annotated[int, typer.Option(help="Seed of initialisation and order.")] = 0,
    as_json: Json = False,
) -> None:
    """Train an organism on the embedded model and measure it on held-out prompts."""
    from experiments import organisms
    from experiments.recipes import recipe_named

    recipe = recipe_named(name)
    folder = out or Path("runs/organisms") / name
    with StageProgress(CONSOLE) as progress:
        organisms.train_organism(
            recipe, folder, lambda done, total, _loss: progress.step("train", done, total), seed
        )
        found = organisms.evaluate_saved(
            folder, recipe, lambda done, total: progress.step("measure", done, total)
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
