"""Adapters as they lie in a directory."""

from pathlib import Path

from circuits.edits.adapters import Adapter
from circuits.errors import UserError
from experiments.runs import files

_PLAIN = {"use_dora": False, "use_rslora": False, "rank_pattern": {}, "alpha_pattern": {}}


def read_adapter(folder: Path) -> Adapter:
    """A plain LoRA adapter of one rank, its parameters named as in training.

    Raises:
        UserError: no adapter there, or one whose change is not ``alpha / rank * B @ A``.
    """
    path = folder / "adapter_config.json"
    if not path.is_file():
        raise UserError(f"adapter {folder}: expected a directory with adapter_config.json")
    config = files.read_json(path)
    odd = [k for k, usual in _PLAIN.items() if config.get(k, usual) not in (usual, None)]
    if odd or config.get("peft_type") != "LORA":
        raise UserError(
            f"adapter {folder}: expected a plain LoRA adapter of one rank, "
            f"got {', '.join(odd) or config.get('peft_type')}"
        )
    stored = files.read_tensors(folder / "adapter_model.safetensors")
    paired = {n.replace(".lora_A.", ".lora_B.") for n in stored if ".lora_A." in n}
    if {n for n in stored if ".lora_A." not in n} != paired:
        raise UserError(f"adapter {folder}: expected pairs of LoRA matrices and nothing else")
    named = {n.removesuffix(".weight") + ".default.weight": t.float() for n, t in stored.items()}
    return Adapter(int(config["r"]), int(config["lora_alpha"]), named)
