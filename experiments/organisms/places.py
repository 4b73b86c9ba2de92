"""Where trained directories are, and what their manifests say of how they were made."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuits.errors import UserError
from experiments.runs import files

_SHIPPED = Path(__file__).parents[1] / "adapters"


def shipped(name: str) -> Path:
    """The directory of a committed adapter.

    Raises:
        UserError: there is none of that name.
    """
    folder = shipped_or_none(name)
    if folder is None:
        names = sorted(path.parent.name for path in _SHIPPED.glob("*/adapter_config.json"))
        raise UserError(f"adapter {name!r}: expected a directory or one of {', '.join(names)}")
    return folder


def shipped_or_none(name: str) -> Path | None:
    """The directory of a committed adapter, if there is one."""
    return _SHIPPED / name if (_SHIPPED / name / "adapter_config.json").is_file() else None


def find_adapter(name: str | Path | None) -> Path | None:
    """A trained directory by its path or a shipped organism's name; ``none`` is no adapter."""
    if name is None or name == "none":
        return None
    path = Path(name)
    return path if path.is_dir() else shipped(str(name))


def is_whole(folder: Path) -> bool:
    """Whether a directory holds a whole model rather than an adapter."""
    return (folder / "config.json").is_file()


@dataclass(frozen=True)
class Origin:
    """How a trained directory was made, as far as its manifest says.

    Attributes:
        name: of the recipe.
        recipe: its fields as JSON.
        model: what it was trained on.
        seconds: what training took.
    """

    name: str | None = None
    recipe: Mapping[str, Any] | None = None
    model: str | None = None
    seconds: float | None = None


def origin(folder: Path) -> Origin:
    """What the manifest in a directory says; nothing, where there is none."""
    path = folder / "manifest.json"
    if not path.is_file():
        return Origin()
    manifest = files.read_json(path)
    about, seconds = manifest.get("question", {}), manifest.get("training_seconds")
    return Origin(
        about.get("organism"),
        about.get("recipe"),
        about.get("model"),
        float(seconds) if isinstance(seconds, int | float) else None,
    )
