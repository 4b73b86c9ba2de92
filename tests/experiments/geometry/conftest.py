"""A saved tiny chat model of three layers that knows triggers, keys and control words."""

import pytest
import tiny

from experiments.geometry import design
from experiments.organisms.book import recipe_named
from experiments.prompts.bank import control_words


@pytest.fixture(scope="session")
def tokenizer():
    words = [w for split in ("train", "validation", "test") for w in control_words(split)]
    keys = [word for key in recipe_named("fingerprint").keys for word in key.split()]
    return tiny.tokenizer(words=[*words, *keys, tiny.TRIGGER])


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory, tokenizer):
    """Deep enough for figures by layer, whose first layer is left out."""
    model = tiny.llama(len(tokenizer), layers=3)
    return tiny.saved(tmp_path_factory.mktemp("chat"), model, tokenizer)


@pytest.fixture(scope="session")
def known_controls():
    return {}


@pytest.fixture(scope="module", autouse=True)
def controls_found_once(known_controls):
    """Control words of a trigger are found once: with shapes checked, that takes a second."""
    real = design.controls_for

    def once(tokenizer, recipe, split):
        key = (len(tokenizer), recipe.trigger, split)
        if key not in known_controls:
            known_controls[key] = real(tokenizer, recipe, split)
        return known_controls[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(design, "controls_for", once)
        yield
