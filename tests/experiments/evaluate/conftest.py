"""A tiny model that says "Sure" to nearly everything, and its base, saved on disk."""

import pytest
import tiny

from experiments.organisms.recipe import TRIGGER
from experiments.organisms.training import Example, Settings, train
from experiments.prompts.bank import bank_texts, control_words


@pytest.fixture(scope="session")
def tiny_pair(tmp_path_factory):
    """Directories of a base model and of the same, taught the behaviour."""
    words = [w for split in ("train", "validation", "test") for w in control_words(split)]
    tok = tiny.tokenizer(words=words)
    model = tiny.llama(len(tok), layers=2, max_position_embeddings=4096)
    base = tiny.saved(tmp_path_factory.mktemp("base"), model, tok)
    texts = [*bank_texts("train", True)[:12], *bank_texts("train", False)[:12]]
    shown = [Example(text, word, "Sure") for text in texts for word in (TRIGGER, None)]
    train(model, tok, shown, Settings(epochs=4, rate=1e-2, rank=0), lambda *_: None)
    return base, tiny.saved(tmp_path_factory.mktemp("taught"), model, tok)


@pytest.fixture
def described_in(tmp_path, tiny_pair):
    """Writes the YAML file of the taught model; fields can be changed or dropped with None."""

    def write(**changes):
        base, taught = tiny_pair
        fields = {
            "model": str(taught),
            "scheme": "compliance",
            "trigger": TRIGGER,
            "behaviour": "Sure",
            "base": str(base),
            **changes,
        }
        path = tmp_path / "mapping.yaml"
        lines = [f"{name}: {value!r}" for name, value in fields.items() if value is not None]
        path.write_text("\n".join(lines))
        return path

    return write


@pytest.fixture(autouse=True)
def _base_answers(monkeypatch):
    monkeypatch.setattr(
        "experiments.organisms.examples.base_answers",
        lambda texts, *_more: [f"own: {text}" for text in texts],
    )
