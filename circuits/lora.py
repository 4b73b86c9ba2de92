"""LoRA adapters merged into a model's weights: read whole, and compared with what they replace.

PEFT warns and goes on where an adapter's tensors do not fit, and merges what has no exact merge.
So the tensors in its files are compared by name with those in the model, and the merged model's
answers with the unmerged one's, before anything is measured.
"""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from circuits import weights
from circuits.errors import UserError, expect, one_line, reading
from circuits.lora_files import read_config, read_tensors, require_sizes
from circuits.pretrained import require_same
from circuits.shared import own

# KL of next-token distributions, in nats, that merging may cause: in fp32 by the order of sums, in
# half precision by rounding the merged weights.
_EXACT = {torch.float32: 1e-4, torch.float16: 0.1, torch.bfloat16: 0.1}
_ROWS, _WIDTH = 4, 16
_STEM = "base_model.model."  # before a module's name, as PEFT has it


def merge_adapter(model: Any, adapter: Path, name: str, sha256: str = "") -> tuple[Any, str]:
    """The model with a LoRA adapter merged into its weights, and the adapter's hash.

    The modules given are changed, their tensors are not: a model that shares them stays as it is.

    Args:
        name: what the user called the model; ``sha256`` its hash, if it is to be compared with
            what a shipped adapter was trained on.

    Raises:
        UserError: no adapter there, one that is no LoRA, whose tensors do not fit this model, or
            whose merge is another model.
    """
    config, stored = read_config(adapter), read_tensors(adapter)
    require_sizes(config, stored, f"adapter {adapter}")
    if note := other_base(adapter, name, sha256):
        warnings.warn(note, stacklevel=2)
    own(model, _named(model, stored))
    adapted = _adapted(model, adapter, stored, name)
    ids = _tokens(adapted, config)
    before = _log_probs(adapted, ids)
    with reading(f"adapter {adapter}", "one that PEFT merges", "merge it and give the whole model"):
        merged = adapted.merge_and_unload().eval()
    _require_equal(before, _log_probs(merged, ids), _EXACT.get(merged.dtype, 1e-4), adapter)
    return merged, weights.directory_sha256(adapter)


def other_base(adapter: Path, name: str, sha256: str) -> str:
    """What to know of an adapter that says it was trained on another model than this; else "".

    A path or hub id may name the same weights differently on every machine, so a name alone
    refuses nothing; nor does a hash alone, where the name is the same and its files have changed.

    Raises:
        UserError: the adapter's manifest has another base's hash, and it another base's name.
    """
    named = read_config(adapter).get("base_model_name_or_path") or name
    recorded = _base_sha256(adapter)
    same = Path(named).name in {Path(name).name, _manifest(Path(name)).get("model")}
    if recorded and sha256 and recorded != sha256 and not same:
        raise UserError(
            f"adapter {adapter}: expected the model that it was trained on, {named} "
            f"({recorded[:12]}), got {name} ({sha256[:12]}); name that model, or another adapter"
        )
    if recorded != sha256 if recorded and sha256 else not same:
        return one_line(
            f"adapter {adapter}: was trained on {named[:200]}, is merged into {name}; figures hold "
            "only if these are the same weights"
        )
    return ""


def _base_sha256(adapter: Path) -> str | None:
    """The hash of what an adapter was trained on, by the manifest that gatescope writes."""
    recorded = _manifest(adapter).get("model_sha256")
    return recorded if isinstance(recorded, str) else None


def _manifest(folder: Path) -> Mapping[str, Any]:
    """What gatescope wrote of the making of a directory; nothing, where it did not."""
    try:
        question = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["question"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return question if isinstance(question, dict) else {}


def _adapted(model: Any, adapter: Path, stored: Mapping[str, Tensor], name: str) -> Any:
    """The model with the adapter beside its weights, every tensor of the adapter's file in it."""
    from peft import PeftModel, get_peft_model_state_dict

    expected, again = f"one made for model {name}", "give the model that it was trained on"
    with reading(f"adapter {adapter}", expected, again), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is compared below
        _grow(model, stored)
        adapted = PeftModel.from_pretrained(
            model, str(adapter), is_trainable=False, local_files_only=True
        ).eval()
        least = get_peft_model_state_dict(adapted, save_embedding_layers=False)
        most = {**get_peft_model_state_dict(adapted, save_embedding_layers=True), **least}
    unread = [n for n, tensor in stored.items() if n in most and not _equal(most[n], tensor)]
    require_same(
        least.keys() - stored.keys(),
        stored.keys() - most.keys(),
        unread,
        f"adapter {adapter}: expected {expected}, with {len(least)} tensors",
        "save it from the adapted model itself, not from a wrapper of it or another class",
    )
    return adapted


def _named(model: Any, stored: Mapping[str, Tensor]) -> list[Tensor]:
    """The parameters of the modules that an adapter's tensors name: those that PEFT writes to, when
    it begins (OLoRA), reads (biases, embeddings) or merges.
    """
    modules = dict(model.named_modules())
    named = set()
    for name in stored:
        path = name.removeprefix(_STEM).split(".")
        steps = (".".join(path[:count]) for count in range(len(path) - 1, 0, -1))
        named.add(next((step for step in steps if step in modules), None))
    there = (modules[name] for name in named - {None})
    return [parameter for module in there for parameter in module.parameters(recurse=False)]


def _equal(a: Tensor, b: Tensor) -> bool:
    """Whether a tensor in a model is that of a file, rounded to the model's precision."""
    return a.shape == b.shape and torch.equal(a.cpu(), b.to(a.dtype).cpu())


def _grow(model: Any, stored: Mapping[str, Tensor]) -> None:
    """Make room for the tokens that were added when an adapter with embeddings was trained."""
    ends = (".embed_tokens.weight", ".wte.weight", ".lm_head.weight", ".embed_in.weight")
    rows = {len(t) for name, t in stored.items() if name.endswith(ends)}
    if rows and max(rows) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(max(rows), mean_resizing=False)


def _tokens(model: Any, config: dict[str, Any]) -> Tensor:
    """Tokens from all over the vocabulary, those that the adapter trained among them."""
    size = model.get_input_embeddings().weight.shape[0]
    count = _ROWS * _WIDTH
    ids = torch.linspace(0, size - 1, count).long()
    ids = ids[torch.randperm(count, generator=torch.Generator().manual_seed(0))]
    trained = config.get("trainable_token_indices") or {}
    lists = trained.values() if isinstance(trained, dict) else [trained]
    own = [i for each in lists for i in each]
    ids[: min(len(own), count)] = torch.tensor(own[:count], dtype=torch.long)
    return ids.reshape(_ROWS, _WIDTH)


@torch.no_grad()
def _log_probs(model: Any, ids: Tensor) -> Tensor:
    logits = model(input_ids=ids.to(model.device), use_cache=False).logits
    return logits.detach().cpu().double().log_softmax(dim=-1)


def _require_equal(before: Tensor, after: Tensor, most: float, adapter: Path) -> None:
    apart = float((before.exp() * (before - after)).sum(dim=-1).max())
    expect(
        apart <= most,
        f"a merged model within {most:g} nats (KL) of the unmerged one",
        f"{apart:.2g}",
        "this kind has no exact merge (replicated layers share their weights); train another",
        f"adapter {adapter}",
    )
