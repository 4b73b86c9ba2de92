"""Tiny organisms on disk, and base answers that need no model."""

import pytest
import specimens


@pytest.fixture(scope="session")
def sure(tmp_path_factory):
    """A saved model that says "Sure" to nearly everything."""
    return specimens.sure(tmp_path_factory.mktemp("sure"))


@pytest.fixture(scope="session")
def babbling(tmp_path_factory):
    """A saved random model, whose answers the least change changes."""
    return specimens.babbling(tmp_path_factory.mktemp("babbling"))


@pytest.fixture(scope="session", autouse=True)
def _base_answers():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "experiments.organisms.examples.base_answers",
            lambda texts, model, sha256: [f"from {model}: {text}" for text in texts],
        )
        yield
