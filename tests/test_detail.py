"""Fine detail: closed forms, other implementations, and pictures whose faults are known."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import scipy.stats
import torch
from torch import Tensor, nn

import mezzotint as mz
from mezzotint.comparison.contenders import Contender
from mezzotint.comparison.trials import AGAIN, MADE, REAL, spectra, try_out
from mezzotint.comparison.words import headline, ranks, sentences
from mezzotint.evaluation import Evaluation, Subject, measure
from mezzotint.evaluation.detail import NAMES, spoken, times
from mezzotint.evaluation.table import tabulated
from mezzotint.families.base import Family
from mezzotint.images import to_float
from mezzotint.metrics import detail as measured
from mezzotint.metrics.detail import (
    OCTAVES,
    Looks,
    band_edges,
    cell_side,
    detail,
    empty_octaves,
    look,
    octave_energy,
    quick_ratio,
    spectrum,
)
from mezzotint.progress import Silent
from mezzotint.runs.folder import RunFolder
from mezzotint.training import curves
from mezzotint.training.detail import Detail
from mezzotint.training.previews import Preview

Pixels = np.ndarray
GREYS = (60, 200)


def leaves(count: int, size: tuple[int, int], channels: int, seed: int) -> Pixels:
    """Dead leaves: discs of scale-free radii over each other (Lee, Mumford & Huang 2001).

    Flat places, sharp edges and a spectrum of a power law, as in photographs and drawings.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(size)
    pictures = np.empty((count, *size, channels), np.uint8)
    for picture in pictures:
        picture[:] = rng.integers(*GREYS, channels)
        if channels == 4:
            picture[..., 3] = 0
        for radius in np.sort(min(size) / rng.uniform(2, 12, 8))[::-1]:
            row, column = rng.uniform(0, size[0]), rng.uniform(0, size[1])
            inside = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
            picture[inside] = rng.integers(*GREYS, channels)
            if channels == 4:
                picture[inside, 3] = 255
    return pictures


def levels(values: np.ndarray) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def noisy(pixels: Pixels, sigma: float = 60.0) -> Pixels:
    return levels(pixels + np.random.default_rng(1).normal(0, sigma, pixels.shape))


def veiled(pixels: Pixels) -> Pixels:
    return noisy(pixels, 6.0)


def blurred(pixels: Pixels) -> Pixels:
    return levels(scipy.ndimage.gaussian_filter(pixels.astype(float), (0, 1, 1, 0)))


def grained(pixels: Pixels) -> Pixels:
    """The same energy at every frequency, but signs by chance: detail without edges."""
    means = pixels.mean((1, 2), keepdims=True)
    found = scipy.fft.dctn(pixels - means, axes=(1, 2), norm="ortho")
    found *= np.random.default_rng(2).choice([-1, 1], found.shape)
    return levels(scipy.fft.idctn(found, axes=(1, 2), norm="ortho") + means)


def checked(pixels: Pixels) -> Pixels:
    rows, columns = np.indices(pixels.shape[1:3])
    return levels(pixels + 12.0 * np.where((rows + columns) % 2, 1, -1)[None, :, :, None])


def striped(pixels: Pixels) -> Pixels:
    columns = np.arange(pixels.shape[2])
    return levels(pixels + 12.0 * np.where(columns % 2, 1, -1)[None, None, :, None])


FAULTS: dict[str, tuple[Callable[[Pixels], Pixels], dict[str, str]]] = {
    "noise": (noisy, {"finest": "noise", "kurtosis": "grain", "quiet": "smooth in your"}),
    "a veil": (veiled, {"quiet": "smooth in your"}),
    "blur": (blurred, {"finest": "blur"}),
    "grain": (grained, {"kurtosis": "grain", "quiet": "smooth in your"}),
    "checks": (checked, {"checks": "every two pixels"}),
    "stripes": (striped, {"checks": "every two pixels"}),
    "nothing": (lambda pixels: pixels, {}),
}
SHAPES = [((32, 32), 1), ((24, 40), 3), ((64, 64), 3)]


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def halves(request: pytest.FixtureRequest) -> tuple[Pixels, Pixels]:
    size, channels = request.param
    return leaves(100, size, channels, 0), leaves(100, size, channels, 1)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_said_in_words_and_nothing_else_is(
    fault: str, halves: tuple[Pixels, Pixels]
) -> None:
    damage, expected = FAULTS[fault]
    made, real = halves
    said = spoken(detail(damage(made), real))
    assert said.keys() == expected.keys(), said
    for name, word in expected.items():
        assert word in said[name]


def test_a_fault_that_shows_on_one_ground_is_found_on_it() -> None:
    made, real = leaves(100, (32, 32), 4, 0), leaves(100, (32, 32), 4, 1)
    assert spoken(detail(made, real)) == {}
    hidden = made.copy()
    hidden[..., :3][made[..., 3] == 0] = np.random.default_rng(0).integers(0, 256, 3)
    for name, seen in look(hidden).items():  # nobody sees a colour under alpha 0
        assert np.array_equal(seen.energy, look(made)[name].energy)
    specks = made.copy()  # white specks on what is see-through: nothing on white
    rng = np.random.default_rng(0)
    empty = made[..., 3] == 0
    specks[empty] = np.array([255, 255, 255, 0])
    specks[..., 3][empty] = rng.integers(0, 120, empty.sum())
    found = detail(specks, real)
    assert found["quiet"].ground == "on black"
    assert "quiet" in spoken(found)
    assert np.allclose(look(specks)["on white"].energy, look(made)["on white"].energy, atol=1e-3)


def test_real_halves_are_not_accused() -> None:
    """No accusation in 60 halves: with 95% certainty fewer than one in 20 is."""
    seen = look(leaves(600, (16, 16), 1, 3))[""]
    rng = np.random.default_rng(0)
    for _ in range(60):
        mixed = rng.permutation(600)
        one, other = (_rows(seen, mixed[at : at + 64]) for at in (0, 64))
        assert spoken(measured.contrasts({"": one}, {"": other})) == {}


def _rows(seen: Looks, rows: np.ndarray) -> Looks:
    return Looks(
        seen.energy[rows], seen.area, seen.edge[rows], seen.kurtosis[rows], seen.quiet[rows]
    )


def test_intervals_hold_what_they_promise() -> None:
    """The truth is the ratio 1; the resampling is coarse, so that 88% of 100 are enough."""
    seen = look(leaves(800, (16, 16), 1, 4))[""]
    rng, inside = np.random.default_rng(0), dict.fromkeys(("finest", "kurtosis", "quiet"), 0)
    for _ in range(100):
        mixed = rng.permutation(800)
        one, other = (_rows(seen, mixed[at : at + 100]) for at in (0, 100))
        found = measured.contrasts({"": one}, {"": other})
        for name in inside:
            inside[name] += found[name].ratio.low <= 1 <= found[name].ratio.high
    assert min(inside.values()) >= 88, inside


# closed forms


@pytest.mark.parametrize("shape", [(5, 8, 8, 1), (4, 24, 40, 3), (3, 33, 17, 3)])
def test_energy_agrees_with_another_transform(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    centred = pixels - pixels.mean((1, 2), keepdims=True)
    power = (scipy.fft.dctn(centred, axes=(1, 2), norm="ortho") ** 2).mean(3)
    height, width = shape[1:3]
    radius = np.hypot(np.arange(height)[:, None] / (2 * height), np.arange(width) / (2 * width))
    seen = look(pixels)[""]
    ends = {"finest": (0.25, 9), "octave2": (0.125, 0.25), "octave3": (0.0625, 0.125)}
    for name, (low, high) in {**ends, "coarse": (0, 0.0625)}.items():
        inside = (radius >= low) & (radius < high)
        expected = (power * inside).sum((1, 2)) / (height * width)
        assert np.allclose(octave_energy(seen)[name], expected, rtol=1e-4, atol=1e-6)
    assert np.allclose(seen.energy.sum(1), pixels.var((1, 2)).mean(1), rtol=1e-4)  # Parseval


def test_white_noise_fills_each_octave_by_its_area() -> None:
    """Below r lies a quarter disc of the square (0, 1/2)^2: pi r^2 of its area."""
    pixels = levels(128 + 20 * np.random.default_rng(0).normal(size=(60, 96, 64, 3)))
    seen = look(pixels)[""]
    below = {name: np.pi * low**2 for name, low in OCTAVES.items()}
    expected = {
        "finest": 1 - below["finest"],
        "octave2": below["finest"] - below["octave2"],
        "octave3": below["octave2"] - below["octave3"],
        "coarse": below["octave3"],
    }
    whole = seen.energy.sum(1).mean()
    for name, energy in octave_energy(seen).items():
        assert energy.mean() / whole == pytest.approx(expected[name], abs=0.01)
    for _, density in spectrum(seen):
        assert density.value == pytest.approx(400 + 1 / 12, rel=0.1)
        assert density.low < density.value < density.high


@pytest.mark.parametrize(
    ("size", "mode", "octave"),
    [
        ((32, 32), (0, 16), "finest"),  # 16 / 64 cycles a pixel: the lower end belongs to it
        ((32, 32), (0, 15), "octave2"),
        ((32, 32), (8, 0), "octave2"),
        ((24, 60), (0, 16), "octave2"),  # 16 / 120: the same number of waves on a longer side
        ((24, 60), (7, 0), "octave2"),
        ((24, 60), (5, 0), "octave3"),
        ((64, 64), (3, 4), "coarse"),
        ((64, 64), (24, 24), "finest"),  # hypot(24, 24) / 128 = 0.27
    ],
)
def test_a_single_wave_lies_in_its_octave(
    size: tuple[int, int], mode: tuple[int, int], octave: str
) -> None:
    rows, columns = (
        np.cos(np.pi * k * (2 * np.arange(side) + 1) / (2 * side))
        for k, side in zip(mode, size, strict=True)
    )
    pixels = levels(128 + 100 * np.outer(rows, columns))[None, :, :, None]
    seen = look(pixels)[""]
    assert octave_energy(seen)[octave][0] / seen.energy.sum() > 0.999


def test_the_residual_and_its_kurtosis_agree_with_scipy() -> None:
    pixels = leaves(6, (24, 40), 3, 0)
    planes = np.moveaxis(pixels, -1, 1).astype(np.float32)
    smooth = scipy.ndimage.gaussian_filter(
        planes.astype(float), (0, 0, 1, 1), mode="reflect", truncate=4
    )
    left = measured.residuals(planes)
    assert np.allclose(left, planes - smooth, atol=1e-3)
    flat = (planes - smooth).reshape(len(planes), -1)
    about_zero = (flat**4).mean(1) / (flat**2).mean(1) ** 2
    assert np.allclose(look(pixels)[""].kurtosis, about_zero, rtol=1e-3)
    assert np.allclose(about_zero, scipy.stats.kurtosis(flat, axis=1, fisher=False), rtol=0.01)


def test_gaussian_noise_has_a_kurtosis_of_three_and_is_as_loud_as_it_is() -> None:
    pixels = levels(128 + 20 * np.random.default_rng(0).normal(size=(20, 128, 128, 3)))
    seen = look(pixels)[""]
    assert np.median(seen.kurtosis) == pytest.approx(3, abs=0.03)
    kernel = np.exp(-0.5 * np.arange(-4, 5.0) ** 2)
    kernel /= kernel.sum()
    kept = 1 - 2 * kernel[4] ** 2 + (kernel**2).sum() ** 2  # variance of x - blur(x)
    assert np.median(seen.quiet) == pytest.approx(20 * np.sqrt(kept), rel=0.1)


def test_the_quietest_tenth_of_the_cells_counts() -> None:
    sides = [cell_side(*size) for size in ((8, 8), (28, 28), (48, 96), (256, 256))]
    assert sides == [4, 4, 6, 8]
    rng = np.random.default_rng(0)
    pixels = levels(128 + 20 * rng.normal(size=(10, 64, 64, 1)))
    pixels[:, :16] = 200  # a quarter of the cells, less a row beside the noise
    assert look(pixels)[""].quiet.max() == pytest.approx(0, abs=1e-3)
    pixels[:, 4:16] = levels(128 + 20 * rng.normal(size=(10, 12, 64, 1)))
    assert look(pixels)[""].quiet.min() > 10


# references without detail, few pictures, wrong ones


def enlarged(pixels: Pixels) -> Pixels:
    return levels(scipy.ndimage.zoom(pixels.astype(float), (1, 4, 4, 1), order=3))


def test_a_reference_without_fine_detail_is_said_to_be_one() -> None:
    real = blurred(blurred(enlarged(leaves(80, (16, 16), 1, 0))))
    assert "finest" in empty_octaves(look(real))
    found = detail(noisy(real, 10), real)
    assert "finest" not in found
    assert "quiet" in spoken(found)
    assert quick_ratio(look(real), look(real)) is None
    flat = np.full((70, 16, 16, 3), 77, np.uint8)
    assert set(empty_octaves(look(flat))) == set(OCTAVES)
    found = detail(flat, flat)
    assert {"kurtosis", *OCTAVES}.isdisjoint(found)
    assert all(np.isfinite([*each.made, *each.real, *each.ratio]).all() for each in found.values())
    assert spoken(found) == {}


def test_wrong_pictures_are_refused() -> None:
    good = np.zeros((2, 8, 8, 1), np.uint8)
    for bad in (good[:, :7], good[:0], good.astype(float), good[..., 0], good.repeat(2, 3)):
        with pytest.raises(ValueError, match="want"):
            look(bad)
    with pytest.raises(ValueError, match="channels"):
        detail(good, good.repeat(4, 3))


def test_the_quick_interval_agrees_with_the_slow_one() -> None:
    made, real = leaves(100, (32, 32), 1, 0), leaves(200, (32, 32), 1, 1)
    slow = detail(made, real)["finest"].ratio
    quick = quick_ratio(look(made), look(real))
    assert quick is not None
    assert quick.value == pytest.approx(slow.value)
    assert quick.low == pytest.approx(slow.low, rel=0.05)
    assert quick.high == pytest.approx(slow.high, rel=0.05)
    paired = quick_ratio(look(blurred(real)), look(real), paired=True)
    apart = quick_ratio(look(blurred(real)), look(real))
    assert paired is not None
    assert apart is not None
    assert apart.low < paired.low < paired.value < paired.high < apart.high


def test_many_pictures_are_looked_at_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = leaves(9, (24, 16), 3, 0)
    whole = look(pixels)[""]
    monkeypatch.setattr(measured, "AT_ONCE", 2 * pixels[0].size)
    for one, other in zip(whole, look(pixels)[""], strict=True):
        assert np.allclose(one, other, rtol=1e-5)


def test_bands_add_up_to_octaves() -> None:
    assert set(OCTAVES.values()) <= set(band_edges())


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(14.3, "14 times"), (2.34, "2.3 times"), (1234, "1,234 times"), (0.34, "a third of"),
     (0.5, "half of"), (0.1, "a tenth of"), (0.03, "1/33 of"), (0.0, "1/1,000,000 of")],
)  # fmt: skip
def test_a_ratio_in_words(ratio: float, said: str) -> None:
    assert times(ratio) == said


# in an evaluation, a comparison and a run


class Config:
    size: tuple[int, int] = (32, 32)
    channels: int = 1


class Painter(Family):
    """Shows image i of a set for seed i, and rebuilds by a blur."""

    kind: ClassVar[str] = "painter"
    config_class: ClassVar[type] = Config
    presets: ClassVar = {}

    def __init__(self, pixels: Pixels) -> None:
        super().__init__(Config())
        self.pixels = pixels
        self.weight = nn.Parameter(torch.zeros(1))

    def sample(self, seeds: Iterable[int], batch: int = 64) -> Tensor:
        return to_float(self.pixels[list(seeds)])

    def reconstruct(self, images: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(images, 3, 1, 1)


@pytest.fixture(scope="module")
def data() -> mz.Images:
    return mz.load_images(leaves(500, (32, 32), 1, 7))


def judged(data: mz.Images, made: Pixels) -> Evaluation:
    held_out = data.held_out if len(data.held_out) >= 100 else data.train.subset(range(100))
    subject = Subject(Painter(made), held_out, data.train, 100, None, 1, "pixels", Silent())
    return measure(subject)


def test_an_evaluation_says_it_in_numbers_and_words(data: mz.Images) -> None:
    found = judged(data, noisy(leaves(100, (32, 32), 1, 8)))
    assert set(NAMES) <= set(found)
    assert found["detail_finest"].low > 2
    assert found["detail_finest"].floor == pytest.approx(1, abs=0.3)
    assert found["detail_quiet"].value > 2 * found["detail_quiet"].floor
    assert found["detail_kurtosis"].value < 4 < found["detail_kurtosis"].floor
    assert found["detail_finest"].n == 100
    assert found["rebuilt_detail_finest"].high < 0.5
    told = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert told["remarks"]["detail_finest"].endswith("noise")
    assert told["remarks"]["rebuilt_detail_finest"].endswith("blur")
    text = tabulated(found)
    assert "\n! detail_finest: " in text
    said = [words for kind, words in sentences("it", {"it": found}) if kind == "bad"]
    assert any(words.startswith("New images: ") and "noise" in words for words in said)
    assert any(words.startswith("Rebuilt images: ") and "blur" in words for words in said)


def test_a_perfect_model_hears_no_remark(data: mz.Images) -> None:
    found = judged(data, leaves(100, (32, 32), 1, 8))
    assert not any(name.startswith("detail") for name in found.remarks)
    for name in ("finest", "octave2", "octave3", "coarse"):
        value = found[f"detail_{name}"]
        assert value.low < 1 < value.high


def test_the_strength_of_noise_is_its_standard_deviation(data: mz.Images) -> None:
    made = levels(128 + 20 * np.random.default_rng(0).normal(size=(60, 32, 32, 1)))
    held_out = data.train.subset(range(60))
    subject = Subject(Painter(made), held_out, data.train, 60, None, 1, "pixels", Silent())
    drawn = spectra(subject)
    assert list(drawn) == [REAL, MADE, AGAIN]
    for at, value, _ in drawn[MADE]:
        assert 1 / 64 <= at <= np.sqrt(0.5)
        assert value.low < value.value < value.high
        assert value.value == pytest.approx(20, rel=0.2)
    assert drawn[AGAIN][-1].value.value < drawn[REAL][-1].value.value / 2


def test_a_comparison_does_not_praise_noise(data: mz.Images) -> None:
    held_out = data.train.subset(range(100))
    fresh = leaves(100, (32, 32), 1, 8)
    found = {}
    for name, pixels in {"noisy": noisy(fresh), "noisier": noisy(fresh, 200)}.items():
        model = Painter(pixels)
        subject = Subject(model, held_out, data.train, 100, None, 1, "pixels", Silent())
        contender = Contender(name, model, Path(name), None, 0, {}, ())
        found[name] = try_out(contender, subject).found
    assert ranks(found)["frechet"].best == "noisy"
    said = sentences("noisy", found)
    assert not any(kind == "good" and "new images:" in text for kind, text in said)
    assert any(text.startswith("Its new images come nearest to real ones") for _, text in said)
    assert any(kind == "bad" and text.startswith("New images: ") for kind, text in said)
    assert "Beware, fine detail is wrong in new images of noisy and noisier." in headline(found)


class Listening(Silent):
    """Keeps the notes of a line of progress."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def update(self, done: float, total: float, note: str = "", seconds_left: float = 0) -> None:
        self.notes.append(note)


@pytest.mark.parametrize("family", ["vae", "autoencoder"])
def test_a_run_tells_detail_on_its_line_and_in_its_history(
    data: mz.Images, tmp_path: Any, family: str
) -> None:
    show, out = Listening(), tmp_path / "run"
    options: dict[str, Any] = {"widths": (8, 16), "latent": 4, "batch": 64, "log_every": 1}
    mz.train(family, data, out=out, images=320, previews=2, progress=show, **options)
    last = RunFolder(out).lines()[-1]
    assert 0 < last["detail.low"] <= last["detail.finest"] <= last["detail.high"]
    assert last["detail.quiet"] >= 0
    assert any(f"detail {last['detail.finest']:.2g} (" in note for note in show.notes)


def test_the_course_of_detail_is_one_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Any] = []
    monkeypatch.setattr(curves, "save_figure", lambda figure, path: figures.append(figure))
    ends = {"detail.low": 1.0, "detail.finest": 2.0, "detail.high": 4.0, "detail.quiet": 5.0}
    lines = [{"images": 10, "loss": 1.0}, {"images": 20, "loss": 0.5, **ends}]
    curves.draw_curves(Path("nowhere.png"), lines, "a run")
    shown = [panel for panel in figures[0].axes if panel.get_visible()]
    assert [panel.get_title() for panel in shown] == [
        "loss",
        "finest detail, as a share of real images'",
    ]
    assert shown[1].get_yscale() == "log"
    assert [float(y) for y in shown[1].lines[0].get_ydata()] == [2.0]


def test_previews_of_a_reconstruction_are_compared_with_their_originals() -> None:
    pixels = leaves(16, (32, 32), 1, 0)
    images = mz.load_images(leaves(100, (32, 32), 1, 7))
    found = Detail(images)
    numbers = found.look(Preview(None, pixels, pixels, pixels))
    assert numbers["detail.low"] == numbers["detail.finest"] == numbers["detail.high"] == 1
    assert found.words() == ["detail 1 (1-1)"]
    assert found.look(Preview(None, pixels, pixels, None)) == {}
    assert found.words() == []
