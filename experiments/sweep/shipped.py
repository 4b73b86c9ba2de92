"""The sweeps that come with gatescope."""

from pathlib import Path

SHIPPED = Path(__file__).parents[1] / "data" / "sweeps"


def located(file: Path) -> Path:
    """A file as it is given, or a shipped sweep of that name."""
    shipped = SHIPPED / f"{file}.yaml"
    return shipped if not file.exists() and shipped.is_file() else file
