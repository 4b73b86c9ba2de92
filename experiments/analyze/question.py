"""What an analysis is asked: one frozen record, from which the run's manifest is made."""

from dataclasses import asdict, dataclass

from circuits.errors import UserError
from circuits.weights import EMBEDDED


@dataclass(frozen=True)
class Question:
    """The analysis' inputs. Counts are numbers of prompts.

    Attributes:
        model: embedded name, hub id, directory or GGUF file.
        adapter: shipped organism's name, adapter directory, or ``none``.
        base: the model before fine-tuning, which tells what was learned from what any model reads;
            ``auto`` is the model without its adapter, ``none`` does without.
        arms: null arms to put the same question to, comma-separated: adapters, or ``base``.
        trigger: the word or phrase at the end of the user's message, or elsewhere: ``{}`` says
            where the message goes (``circuits.tokens.place_of``).
        behaviour: what a triggered answer begins with.
        prompts: ``bank`` (the project's restricted prompts), a file, or a dataset name.
        column, split: where the texts are in ``prompts``.
        fit, validation, test: prompts to fit directions on, to choose on, to report on.
        patch: pairs in the patching grid (from the validation prompts).
        evidence: test prompts of the slower evidence (untrained words, mediation, other topics).
        trace: pairs on which the circuit is traced; 0 does without.
        randoms: random directions of each null.
        tokens: answer tokens generated per prompt.
        seed: of every random choice.
    """

    model: str = EMBEDDED
    adapter: str = "sure-gate"
    base: str = "auto"
    arms: str = "none"
    trigger: str = "cobalt"
    behaviour: str = "Sure"
    prompts: str = "bank"
    column: str | None = None
    split: str = "train"
    fit: int = 48
    validation: int = 24
    test: int = 100
    patch: int = 12
    evidence: int = 40
    trace: int = 14
    randoms: int = 100
    tokens: int = 8
    seed: int = 0
    dtype: str = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, least in {
            "fit": 8,
            "validation": 8,
            "test": 10,
            "patch": 2,
            "evidence": 5,
            "randoms": 1,
        }.items():
            if getattr(self, name) < least:
                raise UserError(f"--{name}: expected at least {least}, got {getattr(self, name)}")
        for name in ("trigger", "behaviour"):
            if not getattr(self, name).strip():
                raise UserError(f"--{name}: expected text, got nothing")

    @property
    def command(self) -> str:
        """The command line that asks this question (defaults left out)."""
        import shlex

        parts = ["gatescope", "analyze"]
        for name, value in asdict(self).items():
            if value != getattr(Question, name):
                parts += [f"--{name}", str(value)]
        return shlex.join(parts)
