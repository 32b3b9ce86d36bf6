"""Every test works in a cache of its own and without the network."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home: Path = tmp_path_factory.mktemp("mezzotint-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "MEZZOTINT_HOME", str(home))
        patch.setitem(os.environ, "MEZZOTINT_OFFLINE", "1")
        yield home
