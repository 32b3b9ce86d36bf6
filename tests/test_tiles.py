"""Pictures scanned by tiles: one map and one score of the whole picture, in bounded memory."""

import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

import mezzotint as mz
from mezzotint import cli
from mezzotint.data import cutting
from mezzotint.data.sources import open_source
from mezzotint.data.store import load_images
from mezzotint.data.wholes import open_wholes
from mezzotint.detection import Ground, Scorer, maps, parts_of
from mezzotint.detection.layouts import open_tested
from mezzotint.detection.parts import Layout, Rated, kind_weights
from mezzotint.detection.scanning import scan
from mezzotint.detection.tiles import starts, total_weights, weights
from mezzotint.errors import DataError, UsageError
from mezzotint.imaging.resize import centred, fit
from mezzotint.metrics import detecting
from mezzotint.metrics.conformal import conformal_threshold
from mezzotint.progress import Silent

TILE = 32


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.squeeze()).save(path)


def brightness(look) -> Rated:
    """A part that sees each pixel alone, so that tiles cannot disagree."""
    heat = look.images.mean(1)
    return Rated(maps.peak(heat), heat)


def scanned(picture: np.ndarray, **options):
    ground = Ground(torch.nn.Identity(), lambda images: [], picture[None])
    return scan({"brightness": brightness}, ground, picture, TILE, **options)


@pytest.mark.parametrize("length", [32, 33, 56, 57, 100, 257])
def test_tiles_cover_a_side_overlap_and_are_believed_somewhere(length):
    begins = starts(length, TILE)
    assert begins[0] == 0
    assert begins[-1] == length - TILE
    assert all(0 < second - first <= 3 * TILE // 4 for first, second in pairwise(begins))
    assert total_weights(length, TILE).min() > 0


def test_a_tile_is_not_believed_near_edges_that_are_not_the_pictures():
    inner = weights(10, 100, TILE)
    assert inner[: TILE // 16].max() == inner[-TILE // 16 :].max() == 0
    np.testing.assert_allclose(inner, inner[::-1])
    assert np.argmax(inner) in (TILE // 2 - 1, TILE // 2)
    first = weights(0, 100, TILE)
    assert first[0] == first.max()
    assert (weights(0, TILE, TILE) == weights(0, TILE, TILE)[0]).all()
    with pytest.raises(ValueError, match="shorter"):
        starts(TILE - 1, TILE)


@pytest.mark.parametrize("size", [(32, 32), (32, 90), (75, 41), (130, 64)])
def test_what_sees_pixels_alone_says_the_same_of_a_picture_by_tiles_as_of_it_whole(size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 1), dtype=np.uint8)
    merged = np.full(size, np.nan, dtype=np.float32)

    def write(rows: slice, strip: dict) -> None:
        merged[rows] = strip["brightness"]

    found = scanned(picture, heat=write)
    whole = picture[..., 0] / 127.5 - 1
    np.testing.assert_allclose(merged, whole, atol=1e-5)
    hottest = np.sort(whole.ravel())[-min(128, round(0.03 * whole.size)) :]
    assert found.scores["brightness"] == pytest.approx(hottest.mean(), abs=1e-5)
    pixels, total, squares = found.moments["brightness"]
    assert pixels == whole.size
    assert total / pixels == pytest.approx(whole.mean(), abs=1e-5)
    assert squares / pixels == pytest.approx(np.square(whole).mean(), abs=1e-5)


def test_memory_does_not_grow_with_a_pictures_height():
    def peak(height: int) -> int:
        picture = np.zeros((height, 4 * TILE, 1), dtype=np.uint8)
        scanned(picture)  # what is allocated once and for all
        tracemalloc.start()
        scanned(picture)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    low, high = peak(4 * TILE), peak(32 * TILE)
    assert high < 1.5 * low
    assert high < 32 * TILE * 4 * TILE * 4  # the map alone in float32


@pytest.mark.parametrize("side", [32, 88, 152])
def test_false_alarms_keep_the_promise_whatever_the_number_of_tiles(side):
    """Calibrated on whole pictures; on single tiles the rate would grow with their number."""
    rng, alpha, count = np.random.default_rng(1), 0.1, 240
    pictures = ndimage.gaussian_filter(rng.normal(size=(count, side, side)), (0, 2, 2))
    levels = np.clip(128 + 300 * pictures, 0, 255).astype(np.uint8)[..., None]
    scores = np.array([scanned(picture).scores["brightness"] for picture in levels])
    alone = np.array([scanned(one[:TILE, :TILE]).scores["brightness"] for one in levels])
    alarms, naive = [], []
    for _ in range(200):
        order = rng.permutation(count)
        known, new = order[:99], order[99:]
        alarms.append((scores[new] > conformal_threshold(scores[known], alpha)).mean())
        naive.append((scores[new] > conformal_threshold(alone[known], alpha)).mean())
    assert np.mean(alarms) <= alpha + 0.01
    assert np.mean(alarms) >= alpha - 0.02
    assert side == TILE or np.mean(naive) > 1.5 * alpha


@pytest.mark.parametrize("seed", range(5))
def test_areas_counted_one_by_one_equal_those_of_all_at_once(seed):
    rng = np.random.default_rng(seed)
    heats = np.round(rng.normal(size=(6, 20, 24)), 1).astype(np.float16)
    masks = ndimage.gaussian_filter(rng.normal(size=heats.shape), (0, 2, 2)) > 0.12
    masks[0] = False
    tally = detecting.PixelTally()
    for heat, mask in zip(heats, masks, strict=True):
        tally.add(heat, mask)
    assert tally.auroc() == pytest.approx(detecting.auroc(heats, masks))
    assert tally.aupro() == pytest.approx(detecting.aupro(heats, masks))


def test_levels_keep_the_order_of_values_and_of_none_that_is_not_a_number():
    values = np.array([-1e9, -3.5, -1e-3, -0.0, 0.0, 1e-3, 2.0, 7e4])
    levels = detecting.level_of(values)
    assert (np.diff(levels) >= 0).all()
    assert levels[3] == levels[4]
    assert len(set(levels.tolist())) == len(values) - 1
    with pytest.raises(ValueError, match="finite"):
        detecting.level_of([np.nan])


def test_the_map_is_brought_to_the_mask_never_the_mask_to_the_map(tmp_path):
    """A line of one pixel at eight times the model's size, in a picture of another aspect."""
    picture = np.full((256, 384, 1), 100, dtype=np.uint8)
    mask = np.zeros((256, 384), dtype=np.uint8)
    mask[100, 150:250] = 255
    for name in ("good", "bad"):
        save(tmp_path / name / "0.png", picture)
    save(tmp_path / "ground_truth/bad/0_mask.png", mask)
    tested = open_tested(tmp_path, lambda spec: load_images(spec, size=32, channels=1))
    at = tested.names.index("bad/0.png")
    heat = np.zeros((32, 32), dtype=np.float32)
    seen = tested.mask_for(at, heat)
    assert seen.shape == (256, 256)
    assert seen.sum() == 100
    assert maps.resized_map(heat, seen.shape).shape == seen.shape
    assert not tested.mask_for(1 - at, heat).any()


@pytest.mark.parametrize("shape", [(60, 90), (91, 60), (64, 64), (30, 200)])
def test_the_part_that_a_map_shows_is_the_part_that_cropping_keeps(shape):
    ramp = np.add.outer(np.arange(shape[0]), np.arange(shape[1]))[..., None].astype(np.uint8)
    kept = ramp[centred(shape, (24, 24))]
    whole = fit(ramp, (24, 24))
    alone = fit(kept, (24, 24), "stretch")
    assert np.abs(whole.astype(int) - alone).max() <= 2


def scenes(folder: Path, sizes: list[tuple[int, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    for at, size in enumerate(sizes):
        wave = 128 + 50 * np.sin(np.arange(size[1]) * 0.7 + rng.uniform(0, 6))
        noise = rng.normal(0, 5, size)
        save(folder / f"{at:02d}.png", np.clip(wave + noise, 0, 255).astype(np.uint8))


def test_pictures_are_cut_into_squares_that_stay_on_one_side_of_the_split(tmp_path):
    scenes(tmp_path, [(64, 96)] * 9 + [(50, 32)], 0)
    images = load_images(tmp_path, tile=TILE)
    assert images.size == (TILE, TILE)
    assert len(images) == 9 * 6 + 2
    sides = []
    for part in (images.train, images.held_out):
        names = part.names_of(range(len(part)))
        sides.append({cutting.picture_of(name) for name in names})
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 10
    whole = np.asarray(Image.open(tmp_path / "03.png"))
    at = images.names.index("03.png@64,32")
    np.testing.assert_array_equal(images.pixels[at][..., 0], whole[32:64, 64:96])
    assert load_images(tmp_path, tile=TILE).fingerprint == images.fingerprint


def test_a_picture_is_decoded_once_for_all_its_squares(tmp_path, monkeypatch):
    scenes(tmp_path, [(96, 96)] * 3, 0)
    source = cutting.cut(open_source(str(tmp_path)), TILE)
    decoded = []
    plain = type(source.pictures).pixels
    monkeypatch.setattr(
        type(source.pictures), "pixels", lambda self, at: decoded.append(at) or plain(self, at)
    )
    for at in range(len(source.entries)):
        source.read(at)
    assert len(source.entries) == 27
    assert decoded == [0, 1, 2]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained on tiles, good pictures, and new ones with a square that has no stripes."""
    root = tmp_path_factory.mktemp("tiles")
    scenes(root / "good", [(48, 56)] * 60, 0)
    scenes(root / "new/good", [(48, 56)] * 4, 1)
    scenes(root / "new/bad", [(48, 56)] * 4, 2)
    for at in range(4):
        path = root / f"new/bad/{at:02d}.png"
        pixels = np.array(Image.open(path))
        mask = np.zeros_like(pixels)
        mask[10 + 7 * at : 20 + 7 * at, 10 * at + 8 : 10 * at + 18] = 255
        save(path, np.where(mask, np.uint8(128), pixels))
        save(root / f"new/ground_truth/bad/{at:02d}_mask.png", mask)
    options = {"images": 800, "previews": 0, "preset": "detector", "widths": (16, 32)}
    mz.train("autoencoder", root / "good", out=root / "run", tile=TILE, **options)
    return root


def test_a_run_on_tiles_finds_defects_in_pictures_at_their_own_size(place, tmp_path):
    found = mz.detect(place / "run", place / "new", 0.3, out=tmp_path)
    assert found.tile == TILE
    assert not found.warnings
    assert found.measures["auroc"] > 0.9
    assert found.measures["pixel_auroc"] > 0.8
    assert found.threshold is None  # 6 held out; 4 set scales
    heat = np.load(tmp_path / "maps/00000.npy")
    assert heat.shape == (48, 56)
    assert heat.dtype == np.float16
    np.testing.assert_array_equal(heat, found.maps[0])
    assert np.array(Image.open(tmp_path / "overlays/000.png")).shape == (48, 56, 3)
    again = mz.detect(mz.load(place / "run"), place / "new", 0.3, good=place / "good", tile=TILE)
    assert again.calibrated_on == 48


def test_sizes_that_differ_are_said_to(place, tmp_path):
    scenes(tmp_path, [(48, 56), (90, 100)], 3)
    model = mz.load(place / "run")
    found = mz.detect(model, tmp_path, 0.3, good=place / "good", tile=TILE)
    assert "1 differ" in " ".join(found.notes)
    assert [heat.shape for heat in found.maps] == [(48, 56), (90, 100)]


@pytest.mark.parametrize(
    ("tile", "sizes", "error", "match"),
    [
        (48, [(64, 64)], UsageError, "looks at 32x32 pixels"),
        (TILE, [(64, 64), (64, 20)], DataError, "20x64 pixels is smaller than a tile of 32"),
    ],
)
def test_tiles_that_do_not_fit_are_errors_that_say_what_does(
    place, tmp_path, tile, sizes, error, match
):
    scenes(tmp_path, sizes, 0)
    with pytest.raises(error, match=match):
        mz.detect(place / "run", tmp_path, tile=tile)


def test_packed_images_and_odd_tiles_are_refused(place, tmp_path, capsys):
    images = load_images(place / "good", size=TILE)
    with pytest.raises(UsageError, match="packed images have one size"):
        mz.detect(place / "run", images)
    with pytest.raises(UsageError, match="a tile of 8 pixels"):
        mz.train("autoencoder", place / "good", out=tmp_path / "run", tile=8)
    command = ["detect", str(place / "run"), str(place / "new"), "--tile", "48"]
    with pytest.raises(SystemExit):
        cli.main(command)
    assert "--tile 32" in capsys.readouterr().err


def test_a_set_of_pictures_that_are_none_is_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="can be read"):
        open_wholes(open_source(str(tmp_path)))


def test_kinds_count_where_things_have_a_place_and_not_for_textures():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:28, :28]
    disc = np.hypot(y - 13, x - 13) < 9
    things = np.stack([disc * rng.uniform(120, 250) + rng.normal(0, 3, disc.shape)
                       for _ in range(60)])  # fmt: skip
    noise = 128 + 300 * ndimage.gaussian_filter(
        rng.normal(size=(60, 28, 28)), (0, 1, 1), mode="wrap"
    )
    found = []
    for pixels in (things, noise):
        good = np.clip(pixels, 0, 255).astype(np.uint8)[..., None]
        ground = Ground(torch.nn.Identity(), lambda images: [], good[:40])
        rate = Layout(ground)
        found.append(kind_weights(ground, {"layout": rate}, good[40:])["layout"])
    assert found[0] > 0.8
    assert found[1] < 0.3


def test_another_kind_of_thing_is_told_by_its_layout():
    """Discs are good; rings with the same outline are not, and no pixel of them is damaged."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:28, :28]

    def drawn(count: int, inner: float) -> np.ndarray:
        far = np.hypot(y - 13, x - 13)[None] + rng.normal(0, 0.5, (count, 1, 1))
        whole = ((far < 9) & (far >= inner)) * rng.uniform(150, 250, (count, 1, 1))
        return np.clip(whole + rng.normal(0, 3, whole.shape), 0, 255).astype(np.uint8)[..., None]

    model = mz.Autoencoder(size=(28, 28), spatial=True, widths=(8, 8), latent=4)
    name, parts = parts_of(model, None, False)
    good, new = drawn(60, 0), np.concatenate([drawn(20, 0), drawn(20, 5)])
    scorer = Scorer(Ground(model, lambda images: [], good[:40]), parts, good[40:], Silent())
    found = scorer.score(new, Silent())
    assert name == "combined"
    assert detecting.auroc(found.parts["layout"], np.arange(40) >= 20) > 0.99
    assert detecting.auroc(found.scores, np.arange(40) >= 20) > 0.95
