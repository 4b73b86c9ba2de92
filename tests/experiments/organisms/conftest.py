"""A saved tiny model (``folder``) and an adapter made for it."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from circuits import models


@pytest.fixture(scope="session")
def adapter(folder, tmp_path_factory):
    """An adapter of rank 2 whose change is far above rounding, without a manifest."""
    base = models.load_plain(str(folder), torch.float32, "cpu")[0]
    made = get_peft_model(base, LoraConfig(r=2, lora_alpha=6, target_modules="all-linear"))
    torch.manual_seed(1)
    for name, weight in made.named_parameters():
        if "lora_" in name:
            weight.data.normal_(std=0.2)
    out = tmp_path_factory.mktemp("adapter")
    made.save_pretrained(out)
    return out
