"""Where trained directories are, and what lies in them: adapters, and how they were made."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuits.edits.adapters import Adapter
from circuits.errors import UserError, expect, quoted
from circuits.lora_files import CONFIG, read_config, read_tensors, require_sizes
from experiments.runs import files
from experiments.runs.codec import decode

_PLAIN = {"use_dora": False, "use_rslora": False, "rank_pattern": {}, "alpha_pattern": {}}
# Adapters that say one of these change the model otherwise, or other layers than they name.
_NONE = ("layer_replication", "alora_invocation_tokens", "arrow_config", "kasa_config")
_PLAIN |= dict.fromkeys(_NONE)
# Beginnings of the two matrices that leave the model as it is; from others (PiSSA, OLoRA) what they
# hold at the beginning is taken out of its weights.
_BEGUN = (True, False, None, "gaussian", "eva", "orthogonal")
_MERGED = "merge it, save the whole model and name that"
SHIPPED = Path(__file__).parents[1] / "adapters"


def shipped_or_none(name: str) -> Path | None:
    """The directory of a committed adapter, if there is one."""
    return SHIPPED / name if (SHIPPED / name / "adapter_config.json").is_file() else None


def find_adapter(name: str | Path | None) -> Path | None:
    """A trained directory by its path or a committed adapter's name; ``none`` is no adapter.

    Raises:
        UserError: there is none of that name.
    """
    if name is None or name == "none":
        return None
    folder = Path(name) if Path(name).is_dir() else shipped_or_none(str(name))
    if folder is None:
        names = sorted(path.parent.name for path in SHIPPED.glob("*/adapter_config.json"))
        raise UserError(f"adapter {name!r}: expected a directory or one of {', '.join(names)}")
    return folder


def is_whole(folder: Path) -> bool:
    """Whether a directory holds a whole model rather than an adapter."""
    return (folder / "config.json").is_file() and not (folder / CONFIG).is_file()


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


def origin(folder: Path | None) -> Origin:
    """What the manifest in a directory says; nothing, where there is none.

    Raises:
        UserError: the manifest is damaged, or says something else than a recipe.
    """
    if folder is None or not (folder / "manifest.json").is_file():
        return Origin()
    path = folder / "manifest.json"
    manifest = files.read_object(path)
    about, seconds = manifest.get("question", {}), manifest.get("training_seconds")
    expect(isinstance(about, dict), "question as an object", quoted(about), of=str(path))
    named = {"name": about.get("organism"), "recipe": about.get("recipe")}
    took = float(seconds) if isinstance(seconds, int | float) else None
    said = decode(Origin, {**named, "model": about.get("model"), "seconds": took}, None, str(path))
    for name in ("trigger", "behaviour"):
        text = (said.recipe or {}).get(name, "")
        expect(isinstance(text, str), f"{name} as text", quoted(text), of=f"{path}, recipe")
    return said


def read_adapter(folder: Path) -> Adapter:
    """A plain LoRA adapter of one rank, its parameters named as in training.

    Raises:
        UserError: no adapter there, or one whose change is not ``alpha / rank * B @ A``.
    """
    config, of = read_config(folder), f"adapter {folder}"
    odd = [k for k, usual in _PLAIN.items() if config.get(k, usual) not in (usual, None)]
    odd += ["init_lora_weights"] if config.get("init_lora_weights", True) not in _BEGUN else []
    expect(not odd, "a plain LoRA adapter of one rank", ", ".join(odd), _MERGED, of)
    stored = read_tensors(folder)
    require_sizes(config, stored, of)
    paired = {n.replace(".lora_A.", ".lora_B.") for n in stored if ".lora_A." in n}
    if {n for n in stored if ".lora_A." not in n} != paired:
        raise UserError(f"{of}: expected pairs of LoRA matrices and nothing else")
    ranks = {t.shape[0] for n, t in stored.items() if ".lora_A." in n} - {config.get("r", 8)}
    expect(not ranks, f"matrices of its rank {config.get('r', 8)}", f"of {sorted(ranks)}", of=of)
    named = {n.removesuffix(".weight") + ".default.weight": t.float() for n, t in stored.items()}
    return Adapter(config.get("r", 8), config.get("lora_alpha", 8), named)
