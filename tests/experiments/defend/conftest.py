"""A tiny organism that says "Sure" to nearly everything, and base answers that need no model."""

import pytest
import specimens

from experiments.defend.setting import bench


def _echo(texts, model, sha256=None):
    return [f"from {model}: {text}" for text in texts]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The organism as it lies on a disk."""
    return specimens.sure(tmp_path_factory.mktemp("defended"))


@pytest.fixture(scope="session")
def organism(folder):
    """The organism with a random adapter."""
    return specimens.adapted(folder)


@pytest.fixture(scope="session")
def small(organism):
    """Its bench, with few prompts."""
    return bench(organism, fit=6, validation=4)


@pytest.fixture(scope="session", autouse=True)
def _base_answers():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.organisms.examples.base_answers", _echo)
        yield
