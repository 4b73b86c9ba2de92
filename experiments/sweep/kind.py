"""What a sweep's cells can be measured for: the axes of its file, and what its table says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.sweep.engine.grid import Axis, Salt, read_grid
from experiments.sweep.engine.run import Cost, Job, Outcome

SHIPPED = Path(__file__).parents[1] / "data" / "sweeps"


@dataclass(frozen=True)
class Findings:
    """What a table says in short, and where its page is (the table itself where there is none)."""

    sentences: Sequence[str]
    page: Path


@dataclass(frozen=True)
class Kind:
    """A kind of sweep.

    Attributes:
        axes: what its file may say.
        salt, function, cost: of its cells, as in ``Job``.
        report: analyses the table as far as it goes, and writes files and page beside it; told the
            command that makes them again, and the text of the sweep's file.
    """

    axes: Mapping[str, Axis]
    salt: Salt
    function: str
    cost: Cost
    report: Callable[[Outcome, str, str], Findings]

    def job(self, file: Path, retry_failed: bool = False) -> Job:
        """The cells of a YAML file, or of a shipped one by its name.

        Raises:
            UserError: no such file, or values that make no recipe.
        """
        grid = read_grid(located(file), self.axes)
        return Job(grid, self.salt, self.function, self.cost, retry_failed)


def located(file: Path) -> Path:
    """A file as it is given, or the shipped sweep of that name."""
    shipped = SHIPPED / f"{file}.yaml"
    return shipped if not file.exists() and shipped.is_file() else file
