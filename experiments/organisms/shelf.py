"""The committed adapters."""

from pathlib import Path

from circuits.errors import UserError

_SHIPPED = Path(__file__).parents[1] / "adapters"


def shipped(name: str) -> Path:
    """The directory of a committed adapter.

    Raises:
        UserError: there is none of that name.
    """
    folder = shipped_or_none(name)
    if folder is None:
        found = sorted(path.parent.name for path in _SHIPPED.glob("*/adapter_config.json"))
        raise UserError(f"adapter {name!r}: expected a directory or one of {', '.join(found)}")
    return folder


def shipped_or_none(name: str) -> Path | None:
    """The directory of a committed adapter, if there is one."""
    return _SHIPPED / name if (_SHIPPED / name / "adapter_config.json").is_file() else None


def find_adapter(name: str | None) -> Path | None:
    """An adapter by directory or by the name of a shipped organism; ``none`` is no adapter."""
    if name is None or name == "none":
        return None
    path = Path(name)
    return path if path.is_dir() else shipped(name)
