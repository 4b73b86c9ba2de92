"""A saved tiny model, and a copy of it to damage."""

import shutil

import pytest
import tiny


@pytest.fixture(scope="session")
def folder(tmp_path_factory, tokenizer):
    """A saved model of three layers."""
    place = tmp_path_factory.mktemp("models") / "tiny"
    return tiny.saved(place, tiny.llama(len(tokenizer), layers=3), tokenizer)


@pytest.fixture
def scratch(folder, tmp_path):
    """A copy of the saved model, to be damaged."""
    return shutil.copytree(folder, tmp_path / "copy")
