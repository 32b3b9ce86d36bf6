"""Extractors: what they see, that they are what they say, and that nothing is computed twice."""

import dataclasses
import hashlib
import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mezzotint as mz
from mezzotint.errors import DataError, MissingExtraError, UsageError
from mezzotint.features import judging, learning, pretrained, table
from mezzotint.features.extractor import Extractor, classify, extract, levels, resized, rgb
from mezzotint.features.table import EXTRACTORS, kept_features, open_extractor
from mezzotint.nets.effnet_lite import EfficientNetLite0
from mezzotint.progress import Silent

SHOW = Silent()
LITE = importlib.util.find_spec(pretrained.LITE_PACKAGE) is not None


@pytest.fixture(scope="module")
def digits() -> mz.Images:
    return mz.load_images("digits")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEZZOTINT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    lesson = dataclasses.replace(judging.LESSON, fewest=30, epochs=1)
    monkeypatch.setattr(judging, "LESSON", lesson)


def held_out(images: mz.Images) -> np.ndarray:
    return images.held_out.gather(range(len(images.held_out)))


def test_pixels_are_the_values(digits: mz.Images) -> None:
    pixels = held_out(digits)
    found = extract(open_extractor("pixels", digits, SHOW), pixels, SHOW)
    assert found == pytest.approx(pixels.reshape(len(pixels), -1) / 255)


def test_resizing_is_pillows_antialiased_bicubic() -> None:
    smooth = np.add.outer(np.arange(60), np.arange(60))[..., None] * np.ones(3)
    pixels = (smooth + np.random.default_rng(0).integers(0, 130, smooth.shape)).astype(np.uint8)
    ours = resized(levels(pixels[None]), 23)[0].permute(1, 2, 0).numpy()
    pillows = np.asarray(Image.fromarray(pixels).resize((23, 23), Image.Resampling.BICUBIC))
    assert np.abs(ours - pillows).max() < 1.01


def test_grey_and_transparent_images_become_rgb() -> None:
    grey = torch.full((2, 1, 3, 3), 7.0)
    assert torch.equal(rgb(grey), grey.expand(-1, 3, -1, -1))
    clear = torch.cat([torch.zeros(1, 3, 2, 2), torch.full((1, 1, 2, 2), 51.0)], 1)
    assert rgb(clear).numpy() == pytest.approx(255 * 0.8)


def test_data_features_tell_classes_of_unseen_images(digits: mz.Images, home: Path) -> None:
    extractor = open_extractor("data", digits.held_out, SHOW)
    told = classify(extractor, held_out(digits), SHOW)
    labels = digits.held_out.labels_of(range(len(digits.held_out)))
    assert (told == labels).mean() > 0.95
    assert extract(extractor, held_out(digits), SHOW).shape == (len(digits.held_out), 64)


def test_data_features_are_made_once_and_are_the_same_again(
    digits: mz.Images, home: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = torch.random.get_rng_state()
    first = open_extractor("data", digits, SHOW)
    assert torch.equal(torch.random.get_rng_state(), state)
    (file,) = home.glob("features/data-*.safetensors")
    assert first.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    file.unlink()
    assert open_extractor("data", digits, SHOW).sha256 == first.sha256
    monkeypatch.setattr(learning, "_taught", lambda *_: pytest.fail("trained again"))
    again = open_extractor("data", digits.held_out, SHOW)
    pixels = held_out(digits)[:70]
    assert np.array_equal(extract(first, pixels, SHOW), extract(again, pixels, SHOW))


def test_a_damaged_cache_is_made_anew(digits: mz.Images, home: Path, quick: None) -> None:
    first = open_extractor("data", digits, SHOW)
    (file,) = home.glob("features/data-*.safetensors")
    file.write_bytes(file.read_bytes()[:-100])
    assert open_extractor("data", digits, SHOW).sha256 == first.sha256
    other = replace(digits, train_rows=digits.train_rows[:800])
    assert open_extractor("data", other, SHOW).sha256 != first.sha256


def test_without_classes_features_come_from_removing_noise(
    digits: mz.Images, home: Path, quick: None
) -> None:
    bare = replace(digits, labels=None, classes=())
    extractor = open_extractor("data", bare, SHOW)
    assert extractor.classify is None
    found = extract(extractor, held_out(digits), SHOW)
    labels = digits.held_out.labels_of(range(len(found)))
    table = ((found[:, None] - found[None]) ** 2).sum(-1) + 1e9 * np.eye(len(found))
    assert (labels[table.argmin(1)] == labels).mean() > 0.6  # ten classes: 0.1 by chance


def test_large_images_are_seen_smaller(home: Path, quick: None) -> None:
    shapes = mz.load_images("shapes", size=64)
    small = replace(shapes, train_rows=shapes.train_rows[:200])
    extractor = open_extractor("data", small, SHOW)
    assert extractor.resize == "antialiased bicubic to 48x48"
    assert extract(extractor, held_out(shapes)[:3], SHOW).shape == (3, 64)


def test_kept_features_are_kept_by_content(digits: mz.Images, home: Path) -> None:
    calls = []

    def look(pixels: np.ndarray) -> torch.Tensor:
        calls.append(len(pixels))
        return levels(pixels).flatten(1)

    extractor = Extractor("pixels", "0" * 64, "none", look)
    pixels = held_out(digits)[:20]
    first = kept_features(extractor, pixels, SHOW, "")
    assert np.array_equal(kept_features(extractor, pixels, SHOW, ""), first)
    assert calls == [20]
    changed = pixels.copy()
    changed[0, 0, 0] ^= 1
    kept_features(extractor, changed, SHOW, "")
    kept_features(replace(extractor, sha256="1" * 64), pixels, SHOW, "")
    assert calls == [20, 20, 20]
    for file in home.glob("features/*"):
        file.write_bytes(b"damaged")
    assert np.array_equal(kept_features(extractor, pixels, SHOW, ""), first)


def test_the_cache_of_features_keeps_the_newest(
    digits: mz.Images, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = open_extractor("pixels", digits, SHOW)
    kept_features(extractor, held_out(digits)[:20], SHOW, "")
    (first,) = home.glob("features/*.safetensors")
    os.utime(first, (0, 0))
    monkeypatch.setattr(table, "MOST_KEPT", first.stat().st_size)
    kept_features(extractor, held_out(digits)[20:40], SHOW, "")
    assert [file != first for file in home.glob("features/*")] == [True]


def test_an_unknown_name_gets_its_neighbour(digits: mz.Images) -> None:
    with pytest.raises(UsageError, match="effnet-lite0"):
        open_extractor("effnet", digits, SHOW)
    assert set(EXTRACTORS) >= {"data", "effnet-lite0", "pixels"}


def test_missing_weights_name_the_extra(digits: mz.Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "LITE_PACKAGE", "no_such_package")
    with pytest.raises(MissingExtraError, match=r"mezzotint\[features\]"):
        table.open_extractor("effnet-lite0", digits, SHOW)


def test_only_the_published_file_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    network, other = EfficientNetLite0(), EfficientNetLite0()
    torch.save(network.state_dict(), file)
    with pytest.raises(DataError, match="SHA-256"):
        pretrained.load_published(other, file, "ab" * 32)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    pretrained.load_published(other, file, digest[:8])
    images = torch.randn(2, 3, 40, 40)
    assert torch.equal(other(images), network.eval()(images))
    file.write_bytes(b"\x80\x02cos\nsystem\n.")
    with pytest.raises(DataError, match="cannot be read"):
        pretrained.load_published(other, file, hashlib.sha256(file.read_bytes()).hexdigest())


def test_lite_counts_what_the_paper_counts() -> None:
    """4.65 million parameters, 16 blocks, a thirty-second of the side at the end."""
    network = EfficientNetLite0().eval()
    assert sum(p.numel() for p in network.parameters()) == 4_652_008
    assert len(network._blocks) == 16
    for side in (33, 64, 96):
        assert network.features(torch.zeros(1, 3, side, side)).shape == (1, 1280)


@pytest.mark.skipif(not LITE, reason="the extra 'features' is not installed")
def test_lite_knows_a_cat() -> None:
    from skimage import data

    cat = data.chelsea()[:, 75:375]
    network = EfficientNetLite0()
    place = Path(str(importlib.util.find_spec(pretrained.LITE_PACKAGE).origin)).parent  # type: ignore[union-attr]
    pretrained.load_published(network, place / pretrained.LITE_FILE, pretrained.LITE_DIGEST)
    logits = network((resized(levels(cat[None]), 224) - 127) / 128)
    assert logits.argmax(1).item() in {281, 282, 285}  # tabby, tiger cat, Egyptian cat


@pytest.mark.skipif(not LITE, reason="the extra 'features' is not installed")
def test_lite_features_of_grey_digits_tell_their_classes(digits: mz.Images, home: Path) -> None:
    extractor = open_extractor("effnet-lite0", digits, SHOW)
    found = extract(extractor, held_out(digits), SHOW)
    labels = digits.held_out.labels_of(range(len(found)))
    apart = ((found[:, None] - found[None]) ** 2).sum(-1) + 1e9 * np.eye(len(found))
    assert (labels[apart.argmin(1)] == labels).mean() > 0.6
