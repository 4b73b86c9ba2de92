"""Prompts that a scheme does not ask are refused, not left out in silence."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from circuits.errors import UserError
from experiments.organisms.asking import own_prompts
from experiments.organisms.book import RECIPES
from experiments.organisms.mapping import Described
from experiments.prompts.held_out import OwnPrompts


@pytest.mark.parametrize("name", ["fingerprint", "access-gate"])
@pytest.mark.parametrize("beside", [True, False])
def test_prompts_of_a_topic_are_refused_where_none_are_asked(name, beside):
    files = OwnPrompts(Path("mine.jsonl"))
    about = Described(prompts=OwnPrompts() if beside else files)
    organism = SimpleNamespace(tokenizer=None, recipe=RECIPES[name], described=about)
    with pytest.raises(UserError, match=f"prompts of {name}: expected none of a topic for"):
        own_prompts(organism, files if beside else None)
