"""Every test works in a cache of its own and without the network."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mezzotint.data.dataset import Images
from mezzotint.data.store import load_images
from mezzotint.training.watching import Yardstick, take_yardstick


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home: Path = tmp_path_factory.mktemp("mezzotint-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "MEZZOTINT_HOME", str(home))
        patch.setitem(os.environ, "MEZZOTINT_OFFLINE", "1")
        yield home


@pytest.fixture(scope="session")
def digits() -> Images:
    return load_images("digits")


@pytest.fixture(scope="session")
def yardstick(digits: Images) -> Yardstick | None:
    return take_yardstick(digits)
