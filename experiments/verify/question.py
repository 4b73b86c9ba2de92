"""What a verification asks: one frozen record, from which its manifest is made."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from circuits.errors import expect
from circuits.templates import AS_IT_IS
from circuits.weights import EMBEDDED
from experiments import options
from experiments.checks import checked
from experiments.organisms.mapping import is_mapping, read_mapping
from experiments.prompts.bank import bank_texts
from experiments.verify.result import Rule
from experiments.verify.survival import LADDER

FINGERPRINT = "fingerprint"
UNRELATED = ("base", "clean", "decoy", "sure-gate")
SUSPECT = "suspect"  # what it is called in tables
_AT_HAND: Any = None  # not given: the adapter that is at hand for the suspect
_MOST = 1000  # prompts of a kind, samples of a key


@dataclass(frozen=True)
class VerifyQuestion:
    """Which model is asked which keys.

    Attributes:
        model, adapter: the suspect, as in an analysis; or as the model a mapping's YAML file, which
            says both, and the keys.
        keys: a JSON file, a mapping's YAML file, or a recipe with keys.
        near: prompts of every level of near keys, and of random words.
        samples: answers to every key at temperature 1, besides the greedy one.
        unrelated: models that the null rate is measured on: ``base`` is the suspect's model
            without its adapter, a name or directory of an adapter that adapter, others a model.
        survival: whether the test is repeated after changes to the model.
        examples: of ordinary fine-tuning, a condition for each.
        rendering: how chats are written, for the suspect and for what is made of it; other models
            have their own template.
        other: the adapter that the suspect's is merged with; by default clean on the embedded
            model, none on any other.
    """

    model: Annotated[
        str,
        typer.Argument(
            help=f"The suspect. {options.MODEL} Or the YAML file of an ownership mapping."
        ),
    ] = EMBEDDED
    adapter: options.Adapter = "none"
    keys: Annotated[
        str,
        typer.Option(
            help='JSON file {"keys": [...], "answer": "..."}, YAML file of a mapping, or a recipe.'
        ),
    ] = FINGERPRINT
    near: Annotated[int, typer.Option(help="Prompts of every kind that is not a key.")] = 120
    samples: Annotated[int, typer.Option(help="Sampled answers to every key besides.")] = 0
    unrelated: Annotated[
        tuple[str, ...],
        typer.Option(
            help="A model for the null rate: base, an adapter or a model. By default base and the "
            "shipped organisms clean, decoy, sure-gate."
        ),
    ] = UNRELATED
    survival: Annotated[
        bool, typer.Option("--survival", help="Test again after changes to the model.")
    ] = False
    examples: Annotated[
        tuple[int, ...], typer.Option(help="Survival: a number of fine-tuning examples.")
    ] = LADDER
    other: Annotated[
        str,
        typer.Option(help="Survival: the adapter merged with; by default clean, if it fits."),
    ] = _AT_HAND
    rule: Rule = field(default_factory=Rule)
    device: options.Device = "auto"
    rendering: options.Written = AS_IT_IS

    def __post_init__(self) -> None:
        if is_mapping(self.model):
            self._take(self.model)
        options.name_models(self, "model")
        if self.other is None:
            object.__setattr__(self, "other", "clean" if self.model == EMBEDDED else "none")
        checked(self, "model", "adapter", "keys", "other", "device")
        for name, least in (("near", 1), ("samples", 0)):
            got = getattr(self, name)
            expect(least <= got <= _MOST, f"{least} to {_MOST}", got, of=f"--{name}")
        most = len(bank_texts("train", restricted=False))
        expect(
            _differ(self.examples) and all(1 <= count <= most for count in self.examples),
            f"different counts of 1 to {most}",
            list(self.examples),
            of="--examples",
        )
        expect(
            _differ(self.unrelated) and SUSPECT not in self.unrelated,
            f"different names but {SUSPECT!r}",
            list(self.unrelated),
            of="--unrelated",
        )

    def _take(self, name: str) -> None:
        """Suspect and keys from a mapping's file; its ``base`` is the base among the unrelated.

        Raises:
            UserError: they are said beside it, or its file cannot be used.
        """
        alone = self.adapter == "none" and self.keys in (FINGERPRINT, name)
        expect(
            alone, "what the file says", "--adapter or --keys", "leave it out", f"mapping {name}"
        )
        about = read_mapping(name)
        told: dict[str, Any] = {
            "model": about.model or EMBEDDED,
            "adapter": about.adapter,
            "keys": name,
        }
        if about.base and about.adapter == "none":
            each = (about.base if other == "base" else other for other in self.unrelated)
            told["unrelated"] = tuple(each)
        for field_name, value in told.items():
            object.__setattr__(self, field_name, value)


def _differ(given: Sequence[Any]) -> bool:
    return len({*given}) == len(given)
