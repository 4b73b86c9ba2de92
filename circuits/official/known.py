"""Real models by their official names: where their files come from, and what they must hash to.

The table is ``known.json``. A file is taken from the hub, at a pinned revision, or out of wheels of
the package registry that hold nothing but its pieces; it is held against its pinned hash whichever
it was, so no mirror is trusted.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from circuits.cache import cache_root
from circuits.errors import UserError

_TABLE = Path(__file__).with_name("known.json")


@dataclass(frozen=True)
class Wheel:
    """An archive of the package registry.

    Attributes:
        package, version: what it is called there.
        member: the file in it that is a piece of the model.
        size: of the archive, in bytes, and ``sha256`` its hash.
    """

    package: str
    version: str
    member: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Known:
    """A model that can be fetched by its name.

    Attributes:
        name: what ``--model`` takes, and ``also`` what else it is called.
        licence: of its weights; ``terms`` must be accepted before they are fetched, if there are.
        file: its GGUF, and ``size`` (bytes), ``sha256`` and ``parameters`` (numbers) of that.
        repository, revision: of the hub; "" where none has a file with this hash.
        package: that is installed with gatescope and holds it, of the embedded model.
        wheels: whose members, one after the other, are the file.
    """

    name: str
    licence: str
    file: str
    size: int
    sha256: str
    parameters: int
    also: tuple[str, ...] = ()
    terms: str = ""
    repository: str = ""
    revision: str = ""
    package: str = ""
    wheels: tuple[Wheel, ...] = ()

    @property
    def source(self) -> str:
        """Where its file comes from, in a line."""
        if self.package:
            return f"package {self.package}"
        wheels = f"{len(self.wheels)} wheels"
        if not self.repository:
            return f"{wheels} (no official file with this hash is known)"
        return f"{self.repository} at {self.revision[:12]}, or {wheels}"


@cache
def models() -> tuple[Known, ...]:
    """Every model of the table."""
    return msgspec.json.decode(_TABLE.read_bytes(), type=tuple[Known, ...])


def find(name: str) -> Known | None:
    """The model of an official name, in capitals or not."""
    wanted = name.casefold()
    for model in models():
        if wanted in map(str.casefold, (model.name, model.repository, *model.also)) and wanted:
            return model
    return None


def named(name: str) -> Known:
    """The same.

    Raises:
        UserError: there is none; lists those there are.
    """
    model = find(name)
    if model is None:
        listed = ", ".join(each.name for each in models())
        raise UserError(f"model {name}: expected one of {listed}, got another name")
    return model


def folder(model: Known) -> Path:
    """Where the cache has a model's file, if it was fetched."""
    return cache_root() / "models" / model.name


def fetched(model: Known) -> Path | None:
    """The file of a model that was fetched; its hash is checked when it is read."""
    file = folder(model) / model.file
    return file if file.is_file() else None


def require_fetched(model: Known) -> Path:
    """The same.

    Raises:
        UserError: it was not fetched; says what to do.
    """
    file = fetched(model)
    if file is None:
        raise UserError(f"model {model.name}: not fetched yet: gatescope models fetch {model.name}")
    return file
