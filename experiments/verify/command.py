"""``gatescope verify``: is this model ours?"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.options import CONSOLE, Device, Json, Resume
from experiments.runs.progress import StageProgress


def verify(
    model: Annotated[
        str, typer.Argument(help="The suspect: smollm2-135m, hub id, directory or .gguf.")
    ] = "smollm2-135m",
    adapter: Annotated[str, typer.Option(help="Shipped organism, LoRA directory, or none.")] = (
        "none"
    ),
    keys: Annotated[
        str, typer.Option(help='JSON file {"keys": [...], "answer": "..."}, or a recipe\'s name.')
    ] = "fingerprint",
    out: Annotated[Path, typer.Option(help="Run directory to write.")] = Path("runs/verify"),
    near: Annotated[int, typer.Option(help="Prompts of every kind that is not a key.")] = 120,
    samples: Annotated[int, typer.Option(help="Sampled answers to every key besides.")] = 0,
    unrelated: Annotated[
        list[str] | None,
        typer.Option(
            help="A model for the null rate: base, an adapter or a model. By default base and the "
            "shipped organisms clean, decoy, sure-gate."
        ),
    ] = None,
    survival: Annotated[
        bool, typer.Option("--survival", help="Test again after changes to the model.")
    ] = False,
    examples: Annotated[
        list[int] | None, typer.Option(help="Survival: a number of fine-tuning examples.")
    ] = None,
    other: Annotated[str, typer.Option(help="Survival: the adapter merged with.")] = "clean",
    alternative: Annotated[
        float, typer.Option(help="Share of keys that ours answers at least.")
    ] = 0.5,
    alpha: Annotated[float, typer.Option(help='Chance allowed of a false "ours".')] = 0.01,
    beta: Annotated[float, typer.Option(help='Chance allowed of a false "not ours".')] = 0.01,
    rare: Annotated[float, typer.Option(help="Near keys answered at most this often.")] = 0.1,
    device: Device = "auto",
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Test whether a model answers secret keys, and only keys, as a fingerprinted one does."""
    from experiments.verify.question import UNRELATED, VerifyQuestion
    from experiments.verify.result import Rule
    from experiments.verify.study import run
    from experiments.verify.survival import LADDER

    question = VerifyQuestion(
        model,
        adapter,
        keys,
        near,
        samples,
        tuple(unrelated or UNRELATED),
        survival,
        tuple(examples or LADDER),
        other,
        Rule(alternative, alpha, beta, rare),
        device,
    )
    with StageProgress(CONSOLE) as progress:
        run(question, out, resume, progress.step)
    result = json.loads((out / "result.json").read_text())
    print(json.dumps(result, indent=1) if as_json else _told(result, out))


def _told(result: dict[str, Any], out: Path) -> str:
    lines = [f"{result['verdict']}: {result['reason']}"]
    lines += [f"  {c['kind']:13} {_share(c['rate'])}" for c in result["near"]]
    for row in result["survival"]:
        condition, test = row["condition"], row["keys"]
        name = f"{condition['change']} {condition['amount']:g}"
        lines.append(f"  {name:17} {_share(test['binomial']['rate'])} {test['passing']}")
    return "\n".join([*lines, f"report: {out / 'report.html'}"])


def _share(rate: dict[str, Any]) -> str:
    return f"{rate['value']:6.1%} [{rate['low']:.1%}, {rate['high']:.1%}] n={rate['n']}"
