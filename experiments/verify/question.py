"""What a verification asks: one frozen record, from which its manifest is made."""

import shlex
from dataclasses import asdict, dataclass, field

from circuits.errors import UserError
from circuits.weights import EMBEDDED
from experiments.prompts.bank import bank_texts
from experiments.verify.result import Rule
from experiments.verify.survival import LADDER

UNRELATED = ("base", "clean", "decoy", "sure-gate")
SUSPECT = "suspect"  # what it is called in tables
_MOST = 1000  # prompts of a kind, samples of a key


@dataclass(frozen=True)
class VerifyQuestion:
    """Which model is asked which keys.

    Attributes:
        model, adapter: the suspect, as in an analysis.
        keys: a JSON file, or a recipe with keys.
        near: prompts of every level of near keys, and of random words.
        samples: answers to every key at temperature 1, besides the greedy one.
        unrelated: models that the null rate is measured on: ``base`` is the suspect's model
            without its adapter, a name or directory of an adapter that adapter, others a model.
        survival: whether the test is repeated after changes to the model.
        examples: of ordinary fine-tuning, a condition for each.
        other: the adapter that the suspect's is merged with.
    """

    model: str = EMBEDDED
    adapter: str = "none"
    keys: str = "fingerprint"
    near: int = 120
    samples: int = 0
    unrelated: tuple[str, ...] = UNRELATED
    survival: bool = False
    examples: tuple[int, ...] = LADDER
    other: str = "clean"
    rule: Rule = field(default_factory=Rule)
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, least in (("near", 1), ("samples", 0)):
            if not least <= getattr(self, name) <= _MOST:
                got = getattr(self, name)
                raise UserError(f"--{name}: expected {least} to {_MOST}, got {got}")
        most = len(bank_texts("train", restricted=False))
        if len({*self.examples}) < len(self.examples) or any(
            not 1 <= count <= most for count in self.examples
        ):
            got = list(self.examples)
            raise UserError(f"--examples: expected different counts of 1 to {most}, got {got}")
        if SUSPECT in self.unrelated or len({*self.unrelated}) < len(self.unrelated):
            got = list(self.unrelated)
            raise UserError(f"--unrelated: expected different names but {SUSPECT!r}, got {got}")

    @property
    def command(self) -> str:
        """The command line that asks this question (defaults left out)."""
        parts = ["gatescope", "verify", self.model]
        usual = VerifyQuestion(self.model)
        for name in ("adapter", "keys", "near", "samples", "unrelated", "examples", "other"):
            value = getattr(self, name)
            if value != getattr(usual, name):
                for one in value if isinstance(value, tuple) else (value,):
                    parts += [f"--{name}", str(one)]
        for name, value in asdict(self.rule).items():
            if value != getattr(usual.rule, name):
                parts += [f"--{name}", str(value)]
        return shlex.join([*parts, "--survival"] if self.survival else parts)
