"""Latents: maps that equal independent ones, traversals in order, outliers that are out."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

import mezzotint as mz
from mezzotint import cli
from mezzotint.errors import MissingExtraError, UsageError
from mezzotint.inspection import projecting
from mezzotint.inspection.latents import chosen, distances
from mezzotint.inspection.mapping import drawable
from mezzotint.inspection.projecting import principal_components, project
from mezzotint.inspection.walking import HIGH, LOW, STEPS, blend, pairs_of, traverse

PICTURES = {"latents.png", "traversals.png", "interpolation.png", "outliers.png"}


@pytest.fixture(scope="module")
def digits():
    return mz.load_images("digits", size=16)


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    options = {"images": 2000, "widths": (8, 16), "latent": 6, "previews": 1}
    return mz.train("vae", digits, out=tmp_path_factory.mktemp("runs") / "v", **options)


@pytest.fixture(scope="module")
def found(run, digits):
    return mz.inspect(run.path, digits)


@pytest.fixture
def rows():
    rng = np.random.default_rng(3)
    return rng.normal(size=(60, 7)) @ rng.normal(size=(7, 7)) + 5


@pytest.fixture
def no_umap(monkeypatch):
    monkeypatch.setattr(projecting, "has_umap", lambda: False)


def test_principal_components_are_those_of_the_singular_values(rows):
    centred = rows - rows.mean(0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    made = principal_components(rows, 3)
    want = left[:, :3] * values[:3]
    sign = np.sign((made.points * want).sum(0))
    np.testing.assert_allclose(made.points * sign, want, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(made.shares, values[:3] ** 2 / (values**2).sum(), rtol=1e-9)


def test_wide_latents_have_the_same_components(monkeypatch, rows):
    exact = principal_components(rows, 2)
    monkeypatch.setattr(projecting, "EXACT", 3)
    rough = principal_components(rows, 2)
    np.testing.assert_allclose(np.abs(rough.points), np.abs(exact.points), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", [(5, 1), (5, 2), (6, 40), (40, 1)])
def test_small_sets_and_narrow_latents_have_maps(shape, no_umap):
    maps, left_out = project(np.random.default_rng(0).normal(size=shape), None, str)
    assert [each.name for each in maps] == ["pca", "tsne"]
    assert all(each.points.shape == (shape[0], 2) for each in maps)
    assert all(np.isfinite(each.points).all() for each in maps)
    assert "mezzotint[umap]" in left_out["umap"]


def test_latents_that_are_all_the_same_have_maps(no_umap):
    maps, _ = project(np.ones((12, 4)), None, str)
    assert all(np.isfinite(each.points).all() for each in maps)
    assert np.isfinite(distances(np.ones((12, 4)))).all()


def test_maps_are_the_same_every_time(rows):
    first, _ = project(rows, ["tsne", "pca"], str)
    again, _ = project(rows, ["pca", "tsne"], str)
    assert [each.name for each in first] == ["pca", "tsne"]
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.points, other.points)


def test_tsne_keeps_far_groups_apart():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(30, 5)), rng.normal(size=(30, 5)) + 40])
    (made,), _ = project(rows, ["tsne"], str)
    apart = np.linalg.norm(made.points[:, None] - made.points, axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert ((apart.argmin(1) < 30) == (np.arange(60) < 30)).all()


def test_a_missing_umap_is_said_when_it_is_asked_for(no_umap, digits, run):
    with pytest.raises(MissingExtraError, match="umap-learn"):
        mz.inspect(run.path, digits, maps=["umap"])
    with pytest.raises(UsageError, match="tsne"):
        mz.inspect(run.path, digits, maps=["tsn"])
    with pytest.raises(UsageError, match="20000"):
        mz.inspect(run.path, digits, points=20_001)


def test_umap_is_called_with_one_seed_and_few_neighbours(monkeypatch, rows):
    asked = {}

    class Maker:
        def __init__(self, **options):
            asked.update(options)

        def fit_transform(self, given):
            return given[:, :2].astype(np.float32)

    module = ModuleType("umap")
    module.UMAP = Maker
    monkeypatch.setitem(sys.modules, "umap", module)
    monkeypatch.setattr(projecting, "has_umap", lambda: True)
    maps, left_out = project(rows[:9], None, str)
    assert [each.name for each in maps] == ["pca", "tsne", "umap"]
    assert left_out == {}
    assert asked["n_neighbors"] == 8
    assert asked["random_state"] == 0


def test_distance_is_that_of_whitened_rows():
    rows = np.random.default_rng(0).normal(size=(4000, 3)) * (1, 2, 0.5)
    wanted = np.linalg.norm((rows - rows.mean(0)) / rows.std(0), axis=1)
    # Ledoit and Wolf's shrinkage is nearly nothing of so many rows of so few numbers
    np.testing.assert_allclose(distances(rows), wanted, rtol=0.03, atol=0.01)
    rows[17] += (0, 500, 0)
    assert distances(rows).argmax() == 17


def test_chosen_rows_are_spread_and_in_order():
    assert chosen(5, 9).tolist() == [0, 1, 2, 3, 4]
    rows = chosen(1001, 11)
    assert rows.tolist() == list(range(0, 1001, 100))


class Painter:
    """Decodes three numbers: the first paints much, the second a little, the third nothing."""

    kind = "painter"

    def embed(self, images):
        raise NotImplementedError

    def decode(self, latent):
        weight = torch.tensor([[0.5, 0.1, 0.0]])
        return (latent * weight).sum(1)[:, None, None, None].expand(-1, 1, 4, 4).clamp(-1, 1)


def test_the_latent_that_changes_most_comes_first():
    rows = np.random.default_rng(1).uniform(-1, 1, (500, 3))
    moved = traverse(Painter(), rows[:, [0, 1, 2]])
    assert [each.latent for each in moved] == [0, 1, 2]
    assert moved[2].effect == 0
    low, high = np.quantile(rows[:, 0], (LOW, HIGH))
    wanted = (np.median(rows[:, 1]) * 0.1 + 0.5 * np.linspace(low, high, STEPS) + 1) * 127.5
    np.testing.assert_allclose(moved[0].pixels[:, 0, 0, 0], wanted, atol=0.51)


def test_a_blend_runs_straight_from_one_end_to_the_other():
    first, second = np.array([0.0, 4.0]), np.array([2.0, 0.0])
    assert blend(first, second, 3).tolist() == [[0, 4], [1, 2], [2, 0]]


def test_pairs_are_of_different_classes_and_no_row_comes_twice():
    labels = np.array([0, 0, 0, 1, 1, 2] * 20)
    pairs = pairs_of(labels, 120, 6)
    assert len(pairs) == 6
    assert all(labels[first] != labels[second] for first, second in pairs)
    flat = [row for pair in pairs for row in pair]
    assert len(set(flat)) == 12
    assert pairs_of(None, 2, 6) == [(0, 1)]
    assert pairs_of(np.zeros(4, int), 4, 6) == [(0, 1), (2, 3)]


def test_names_that_a_font_lacks_are_drawable():
    assert drawable("$\\frac$ é Ж 漢\n") == "$\\frac$ é Ж ??"
    assert drawable("_hidden") == " _hidden"
    assert len(drawable("x" * 99)) == 24


def test_pictures_and_numbers_of_a_model_that_encodes(found, digits, run):
    assert {path.name for path in found.pictures} >= PICTURES
    for path in found.pictures:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert np.asarray(picture.convert("L")).std() > 1
    held = digits.held_out
    told = found.numbers["latents"]
    assert told["n"] == told["of"] == len(held)
    far = found.numbers["outliers"]
    assert [each["distance"] for each in far] == sorted((e["distance"] for e in far), reverse=True)
    assert {each["name"] for each in far} <= set(held.names_of(range(len(held))))
    active = [each["effect"] for each in found.numbers["active_latents"]]
    assert len(active) == 6
    assert active == sorted(active, reverse=True)
    pixels = held.gather([0, 1])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
    vectors = run.model.embed(images)
    np.testing.assert_allclose(found.latents.vectors[:2], vectors.numpy(), rtol=1e-4, atol=1e-5)
    rebuilt = run.model.reconstruct(images) / 2 + 0.5
    error = ((rebuilt - images / 2 - 0.5) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(found.latents.errors[:2], error.numpy(), rtol=0.02)


def test_hostile_class_names_are_drawn(run, digits, tmp_path):
    from dataclasses import replace

    names = ("$\\bad{", "_x", "漢字", "</script>", "\x1b[31m", *digits.classes[5:])
    made = mz.inspect(run.path, replace(digits, classes=names), out=tmp_path, maps=["pca"])
    assert "latents.png" in {path.name for path in made.pictures}


def test_too_few_images_are_said(run, digits, tmp_path):
    from dataclasses import replace

    few = replace(digits, rows=digits.rows[:3], held_out_rows=digits.rows[:3])
    made = mz.inspect(run.path, few, out=tmp_path)
    assert "3 images" in made.numbers["latents"]["left_out"]["maps"]


def test_the_command_names_what_is_left_out(run, capsys, tmp_path, no_umap):
    with pytest.raises(SystemExit) as end:
        cli.main(["inspect", str(run.path), "digits", "--out", str(tmp_path), "--points", "40"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert "left out: umap" in out
    assert "latents.png" in out
    with pytest.raises(SystemExit) as end:
        cli.main(["inspect", str(run.path), "digits", "--maps", "umap"])
    assert end.value.code == 66


@pytest.mark.parametrize("options", [{"latent": 1}, {"latent": 3, "spatial": True}])
def test_latents_of_one_number_and_of_a_grid(options, digits, tmp_path):
    model = mz.train("autoencoder", digits, out=tmp_path, images=64, widths=(4, 8), **options)
    made = mz.inspect(model.path, digits, maps=["pca"])
    assert {path.name for path in made.pictures} >= PICTURES | {"latents.html"}
    assert made.latents.vectors.shape[1] == options["latent"] * (16 if "spatial" in options else 1)
    assert len(made.numbers["active_latents"]) == min(64, made.latents.vectors.shape[1])


def test_points_are_spread_over_the_set(run, digits, tmp_path):
    made = mz.inspect(run.path, digits, out=tmp_path, maps=["pca"], points=40)
    assert made.numbers["latents"]["n"] == 40
    assert made.numbers["latents"]["of"] == len(digits.held_out)
    page = (tmp_path / "latents.html").read_text(encoding="utf-8")
    assert f"{len(digits.held_out) - 40:,} of {len(digits.held_out):,} images are left out" in page
