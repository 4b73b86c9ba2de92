"""What a patching experiment is asked: one frozen record, from which its manifest is made."""

from dataclasses import asdict, dataclass

from circuits.errors import UserError
from circuits.patching import cells
from circuits.patching.cells import Cell, Sweep
from circuits.patching.engine import Direction
from circuits.weights import EMBEDDED

CELLS = {
    "layer": (False, False),
    "position": (True, False),
    "head": (False, True),
    "head-position": (True, True),
}
METRICS = ("log-prob", "prob", "logit-diff", "kl", "rate")


@dataclass(frozen=True)
class PatchQuestion:
    """What is patched into what, and how it is scored.

    Attributes:
        model, adapter, trigger, behaviour, prompts, column, split, seed, dtype, device: as in an
            analysis (``experiments.analyze.question.Question``).
        count: pairs.
        against: what the prompts end in on the clean side: ``control`` words of the trigger's
            length, or ``none`` (lengths differ; spans are aligned).
        stream, by: the grid's stream, and its cells: layer, position, head, head-position.
        sites: a list of cells instead of a grid, as ``circuits.patching.cells.parse`` reads them.
        to: receivers of path patching, sites or ``logits``; none patches the cells themselves.
        held: in path patching, hold ``all`` other outputs, or those of ``attention``.
        metric: log-prob, prob or logit-diff of the behaviour's first token, kl over the source's
            answer, or rate of the behaviour in generated text.
        versus: the other token of logit-diff.
        tokens: answer tokens of kl and rate.
        direction: denoising, noising or both.
    """

    model: str = EMBEDDED
    adapter: str = "sure-gate"
    trigger: str = "cobalt"
    behaviour: str = "Sure"
    prompts: str = "bank"
    column: str | None = None
    split: str = "train"
    count: int = 12
    against: str = "control"
    stream: str = "resid_pre"
    by: str = "position"
    sites: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    held: str = "all"
    metric: str = "log-prob"
    versus: str = "I"
    tokens: int = 8
    direction: str = "both"
    backend: str = "transformer_lens"
    seed: int = 0
    dtype: str = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, known in {
            "against": ("control", "none"),
            "by": tuple(CELLS),
            "metric": METRICS,
            "direction": ("denoising", "noising", "both"),
            "held": ("all", "attention"),
        }.items():
            if getattr(self, name) not in known:
                raise UserError(
                    f"--{name}: expected {', '.join(known)}, got {getattr(self, name)!r}"
                )
        if self.count < 2:
            raise UserError(f"--count: expected at least 2 pairs, got {self.count}")
        if self.tokens < 1:
            raise UserError(f"--tokens: expected at least 1, got {self.tokens}")
        if self.to and self.metric in ("kl", "rate"):
            raise UserError(f"--to: expected a metric of the next token, got {self.metric}")
        if not self.sites:
            self.sweep()  # refuses heads of a stream without heads

    def sweep(self) -> Sweep:
        position, head = CELLS[self.by]
        return Sweep(self.stream, position, head)

    def cells(self) -> Sweep | list[Cell]:
        """What to patch."""
        return [cells.parse(site) for site in self.sites] if self.sites else self.sweep()

    @property
    def directions(self) -> tuple[Direction, ...]:
        both: tuple[Direction, ...] = ("denoising", "noising")
        return both if self.direction == "both" else tuple(d for d in both if d == self.direction)

    @property
    def command(self) -> str:
        """The command line that asks this question (defaults left out)."""
        import shlex

        parts = ["gatescope", "patch"]
        for name, value in asdict(self).items():
            if value == getattr(PatchQuestion, name):
                continue
            option = {"sites": "site"}.get(name, name)
            for one in value if isinstance(value, tuple) else (value,):
                parts += [f"--{option}", str(one)]
        return shlex.join(parts)
