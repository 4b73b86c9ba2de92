"""What a specimen's numbers depend on, as hashes for a manifest."""

import hashlib
from dataclasses import asdict
from typing import Any

from circuits import models
from circuits.weights import directory_sha256
from experiments.organisms.shelf import find_adapter
from experiments.organisms.specimen import Specimen


def identity(specimen: Specimen) -> dict[str, Any]:
    """Hashes of the base model's files and of the trained parameters, and the mapping itself."""
    folder = models.locate(specimen.place)
    recipe = specimen.recipe
    return {
        "base_sha256": directory_sha256(folder) if folder else specimen.place,
        "state_sha256": state_sha256(specimen),
        "settings": asdict(specimen.settings),
        "mapping": {n: getattr(recipe, n) for n in ("scheme", "trigger", "behaviour", "refusal")},
    }


def files_sha256(name: str, specimen: Specimen) -> dict[str, str | None]:
    """Hashes of a named organism's files, as an analysis of it writes them into its manifest."""
    folder = find_adapter(name) if specimen.settings.rank else None
    return {
        "model_sha256": specimen.base_sha256,
        "adapter_sha256": directory_sha256(folder) if folder else None,
    }


def state_sha256(specimen: Specimen) -> str:
    """A hash of the trained parameters, by name."""
    digest = hashlib.sha256()
    for name in sorted(specimen.state):
        tensor = specimen.state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.float().numpy().tobytes())
    return digest.hexdigest()
