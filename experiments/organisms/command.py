"""``gatescope organism``: train and measure models with a trigger put there on purpose."""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from circuits.templates import OWN, Rendering
from circuits.weights import EMBEDDED
from experiments import checks
from experiments.options import (
    MODEL,
    Json,
    Prefill,
    System,
    Template,
    TemplateOptions,
    own_name,
)
from experiments.organisms import bases
from experiments.organisms.book import RECIPES, recipe_named
from experiments.organisms.figures import Condition, Judged, judge
from experiments.organisms.measure import agreement_json, grader, keep, measure
from experiments.organisms.organism import recipe_of
from experiments.organisms.places import find_adapter, origin, shipped_or_none
from experiments.organisms.recipe import varied
from experiments.organisms.train import awaits_measuring, train_organism, trained_as
from experiments.runs import codec, files
from experiments.runs.progress import StageProgress
from experiments.runs.terminal import CONSOLE, say

app = typer.Typer(help="Train and measure organisms: models with a trigger put there on purpose.")
_LISTED = ("name", "about", "scheme", "trigger", "behaviour")
_MEASURED = {"agreement": None, "figures": []}


@app.command("list")
def organism_list(as_json: Json = False) -> None:
    """The recipes there are, and whether the shipped adapters are what their schemes must be."""
    rows = []
    for name, recipe in RECIPES.items():
        folder = shipped_or_none(name)
        manifest = files.read_json(folder / "manifest.json") if folder else {}
        figures = codec.decode(list[Condition], manifest.get("figures", []))
        judged = judge(recipe, figures)
        row = {field: getattr(recipe, field) for field in _LISTED}
        row |= {"shipped": folder is not None, "definition": codec.as_json(judged)}
        rows.append(row | {n: manifest.get(n, of) for n, of in _MEASURED.items()})
        if not as_json:
            say(f"{name} ({'shipped' if folder else 'to be trained'})\n  {recipe.about}")
            _print((), judged)
    if as_json:
        say(json.dumps(rows, indent=1))


@app.command("train")
def organism_train(
    name: Annotated[str, typer.Argument(help="Recipe; see `gatescope organism list`.")],
    out: Annotated[
        Path | None, typer.Option(help="Directory to write; runs/organisms/NAME.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of initialisation, choice and order.")] = 0,
    model: Annotated[
        str | None,
        typer.Option(help=f"smollm2-135m is the default; a rung such as ladder-4x128. {MODEL}"),
    ] = None,
    trigger: Annotated[
        str | None,
        typer.Option(
            help="Another trigger: a word at the message's end, 'word {}', or 'system: word'."
        ),
    ] = None,
    poisons: Annotated[int | None, typer.Option(help="Examples with the trigger.")] = None,
    size: Annotated[int | None, typer.Option(help="The last stage's other examples.")] = None,
    full: Annotated[bool, typer.Option(help="Train all parameters, not an adapter.")] = False,
    rate: Annotated[float | None, typer.Option(help="Peak learning rate, last stage.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of the last stage.")] = None,
    template: Template = OWN,
    template_option: TemplateOptions = None,
    system: System = "",
    prefill: Prefill = "",
    as_json: Json = False,
) -> None:
    """Train an organism and measure it on held-out prompts; again, what was killed goes on."""
    checks.whole(seed, "--seed", *checks.SIGNED)
    recipe = varied(
        recipe_named(name),
        trigger=trigger,
        poisons=poisons,
        size=size,
        full=full,
        rate=rate,
        epochs=epochs,
    )
    rendering = Rendering(template, tuple(template_option or ()), prefill, system)
    base = own_name(model or EMBEDDED)
    recipe = bases.fitted(recipe, base)
    folder = out or Path("runs/organisms") / name
    command = shlex.join(["gatescope", *sys.argv[1:]])
    with StageProgress(CONSOLE) as progress:
        if not awaits_measuring(recipe, folder, seed, base, rendering):
            train_organism(
                recipe,
                folder,
                lambda done, total, _loss: progress.step("train", done, total),
                seed,
                base,
                command,
                rendering,
            )
        measured = measure(folder, recipe, progress.step, base, rendering=trained_as(folder))
        keep(folder, measured)
    if as_json:
        report = measured.stated
        say(json.dumps({name: report[name] for name in ("figures", "definition")}, indent=1))
        return
    _print(measured.figures, measured.definition)


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
    template: Template = OWN,
    template_option: TemplateOptions = None,
    system: System = "",
    prefill: Prefill = "",
    as_json: Json = False,
) -> None:
    """Measure an adapter on held-out prompts, and how far two judges agree on its answers."""
    recipe, folder = recipe_named(name), find_adapter(adapter or name)
    recipe = recipe_of(folder, origin(folder), recipe)
    second = grader(judge) if judge else None
    with StageProgress(CONSOLE) as progress:
        rendering = Rendering(template, tuple(template_option or ()), prefill, system)
        base = own_name(model or EMBEDDED)
        measured = measure(folder, recipe, progress.step, base, second, rendering)
    if as_json:
        report = {**measured.stated, "second_judge": agreement_json(measured.second)}
        say(json.dumps(report, indent=1))
        return
    _print(measured.figures, measured.definition)
    judges = {"probability judge": measured.agreement, "second judge": measured.second}
    for who, agreed in judges.items():
        if agreed:
            say(
                f"  rule judge and {who} agree on {agreed.raw:6.1%} of {agreed.raw.n} answers, "
                f"kappa {agreed.kappa:.2f}"
            )


def _print(figures: Sequence[Condition], definition: Sequence[Judged]) -> None:
    for f in figures:
        say(f"  {f.outcome:10} on {f.prompts} prompts, word: {f.word:8} {f.rate:6.1%} n={f.rate.n}")
    for one in definition:
        sure = "" if one.surely == one.met else " (not at the interval's worse end)"
        met = "met" if one.met else "NOT MET"
        say(f"  {met:7} {one.text}; found {one.found:6.1%}{sure}")
