"""Pipelines of the hub by name: from the cache in its real layout, never fetched unasked."""

import hashlib
import shutil
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants
from pipeline_kit import saved

import mezzotint as mz
from mezzotint import cli
from mezzotint.errors import MissingInputError, RefusedError, UsageError
from mezzotint.runs import hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "somebody/tiny-pipeline"


def filled(cache: Path, folder: Path) -> Path:
    """Put a pipeline into a cache as the hub's library does: blobs, and links to them."""
    home = cache / "models--somebody--tiny-pipeline"
    snapshot = home / "snapshots" / COMMIT
    (home / "blobs").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs/main").write_text(COMMIT)
    for path in (path for path in folder.rglob("*") if path.is_file()):
        blob = home / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copy(path, blob)
        link = snapshot / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    return snapshot


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved("sd15", tmp_path_factory.mktemp("pipelines"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    place = tmp_path / "hub"
    place.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(place))
    monkeypatch.chdir(tmp_path)
    return place


def test_a_cached_name_is_the_folder(cache, folder, tmp_path):
    snapshot = filled(cache, folder)
    options = {"n": 1, "prompt": "a red circle", "steps": 2, "size": 16}
    named = mz.sample(NAME, out=tmp_path / "named.png", **options)
    assert np.array_equal(named, mz.sample(folder, **options))
    found = mz.api.describe(tmp_path / "named.png")
    assert found["source"] == f"{NAME}@{COMMIT}"
    assert mz.api.describe(NAME)["class"] == "StableDiffusionPipeline"
    assert hub.located(f"{NAME}@{COMMIT}") == snapshot


def test_what_is_not_cached_is_not_fetched(cache, capsys):
    with pytest.raises(
        MissingInputError, match=f"there is no '{NAME}' here, and none in the cache"
    ):
        mz.sample(NAME)
    with pytest.raises(SystemExit) as ended:
        cli.main(["sample", NAME])
    assert ended.value.code == 66
    assert "--allow-network fetches it" in capsys.readouterr().err


def test_a_folder_of_that_name_comes_first(cache, folder, tmp_path):
    filled(cache, folder)
    shutil.copytree(folder, tmp_path / NAME)
    assert hub.located(NAME) == Path(NAME)
    assert hub.located("somebody/else") == Path("somebody/else")  # a misspelt folder


@pytest.mark.parametrize(
    "name", ["a/b/c", "../x", "a", "/a/b", "a/..", "a b/c", "https://a/b", "a/"]
)
def test_other_texts_are_paths(cache, name):
    assert not hub.is_hub_name(name)
    with pytest.raises(UsageError, match="no owner/name of the hub"):
        hub.fetch(name)


def test_links_out_of_the_cached_model_are_refused(cache, folder, tmp_path):
    snapshot = filled(cache, folder)
    outside = tmp_path / "outside.json"
    shutil.copy(folder / "unet/config.json", outside)
    (snapshot / "unet/config.json").unlink()
    (snapshot / "unet/config.json").symlink_to(outside)
    with pytest.raises(RefusedError, match="leads out of its folder"):
        mz.sample(NAME)


def test_only_what_a_pipeline_is_read_from_is_fetched(cache, folder, monkeypatch):
    asked = {}

    def download(name, **options):
        asked.update(options, name=name)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert hub.fetch(f"{NAME}@v1") == folder
    assert (asked["name"], asked["revision"]) == (NAME, "v1")
    kept = huggingface_hub.utils.filter_repo_objects(
        ["model_index.json", "unet/config.json", "unet/a.safetensors", "tokenizer/merges.txt",
         "unet/a.bin", "code.py", "unet/a.py", "v1-5.safetensors", "v1-5.ckpt", "README.md",
         "safety_checker/a.safetensors"],
        allow_patterns=asked["allow_patterns"], ignore_patterns=asked["ignore_patterns"],
    )  # fmt: skip
    assert list(kept) == [
        "model_index.json", "unet/config.json", "unet/a.safetensors", "tokenizer/merges.txt"
    ]  # fmt: skip


def test_a_hub_that_cannot_be_reached_is_told(cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingInputError, match=f"'{NAME}' cannot be fetched"):
        hub.fetch(NAME)
