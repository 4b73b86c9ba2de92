"""The page of models whose truth is known: planted, and trained through one door."""

from pathlib import Path

from experiments.bench import opened_set, planted_set

KEPT = Path("docs/results/planted")


def write(folder: Path) -> None:
    """Write the page of what a folder keeps beside it."""
    parts = [*planted_set.section(folder), *opened_set.section(folder)]
    page = folder.parent / f"{folder.name}.md"
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
