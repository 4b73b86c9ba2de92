"""A saved tiny model (``folder``) and an adapter made for it."""

import pytest
from specimens import random_adapter


@pytest.fixture(scope="session")
def adapter(folder, tmp_path_factory):
    """An adapter of rank 2 whose change is far above rounding, without a manifest."""
    return random_adapter(folder, tmp_path_factory.mktemp("adapter"))
