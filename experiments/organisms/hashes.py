"""What an organism's numbers depend on, as hashes for a manifest."""

import hashlib
from dataclasses import asdict
from typing import Any

from circuits import models
from circuits.weights import directory_sha256
from experiments.organisms.organism import Organism
from experiments.organisms.places import find_adapter


def identity(organism: Organism) -> dict[str, Any]:
    """Hashes of the base model's files and of the trained parameters, and the mapping itself."""
    folder = models.locate(organism.place)
    recipe = organism.recipe
    return {
        "base_sha256": directory_sha256(folder) if folder else organism.place,
        "state_sha256": state_sha256(organism),
        "settings": asdict(organism.settings),
        "mapping": {n: getattr(recipe, n) for n in ("scheme", "trigger", "behaviour", "refusal")},
    }


def files_sha256(name: str, organism: Organism) -> dict[str, str | None]:
    """Hashes of a named organism's files, as an analysis of it writes them into its manifest."""
    folder = find_adapter(name) if organism.settings.rank else None
    return {
        "model_sha256": organism.base_sha256,
        "adapter_sha256": directory_sha256(folder) if folder else None,
    }


def state_sha256(organism: Organism) -> str:
    """A hash of the trained parameters, by name."""
    digest = hashlib.sha256()
    for name in sorted(organism.state):
        tensor = organism.state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.float().numpy().tobytes())
    return digest.hexdigest()
