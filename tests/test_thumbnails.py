"""Large pictures on the page: small where many are shown, whole on demand, in bounded memory."""

import io

import numpy as np
import pytest
from fastapi.testclient import TestClient
from page_kit import make_running
from PIL import Image
from serving_kit import make_models, shaken
from test_latent_page import images_of

from mezzotint.families.diffusion import Diffusion
from mezzotint.images import png_bytes, save_image
from mezzotint.serving import mapping, thumbnails
from mezzotint.serving.app import create_app, guarded
from mezzotint.serving.drawing import Drawing, Request
from mezzotint.serving.models import opened
from mezzotint.serving.settings import Settings
from mezzotint.serving.thumbnails import SIDES, Thumbnails, smaller

TOKEN = "t" * 32


def opened_as(content):
    return Image.open(io.BytesIO(content))


def scene(height, width, channels=3):
    """Soft colours with a little grain, as photographs have."""
    rng = np.random.default_rng(0)
    across = np.linspace(0, 200, width)[None, :, None]
    down = np.linspace(40, 0, height)[:, None, None]
    grain = rng.integers(0, 12, (height, width, channels))
    return (across + down + grain).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_large_sheet_becomes_light_and_keeps_its_shape_and_colours(channels):
    pixels = scene(900, 1546, channels)
    made = smaller(png_bytes(pixels), 560)
    with opened_as(made.content) as small:
        assert (small.format, small.size) == ("JPEG", (560, 326))
        assert made.kind == "image/jpeg"
        boxes = pixels.reshape(9, 100, 1546, channels)[:, :, :1500].reshape(9, 100, 15, 100, -1)
        wanted = boxes.mean((1, 3, 4))
        found = np.asarray(small.convert("L").resize((1546, 900), Image.Resampling.BOX), float)
        found = found[:, :1500].reshape(9, 100, 15, 100).mean((1, 3))
        assert np.abs(found - wanted).max() < 6
    assert len(made.content) < 60_000


def test_what_shows_through_does_so_in_the_thumbnail_and_brings_no_hidden_colour():
    pixels = np.zeros((800, 800, 4), np.uint8)
    pixels[..., 0] = 255  # red where nothing is seen
    pixels[200:600, 201:599] = (0, 0, 255, 255)
    pixels[..., 3] = np.where(pixels[..., 2] > 0, 255, 0)
    made = smaller(png_bytes(pixels), 100)
    with opened_as(made.content) as small:
        assert small.format in ("WEBP", "PNG")
        shown = np.asarray(small.convert("RGBA")).astype(int)
    assert shown[10, 10, 3] == 0
    assert shown[50, 50, 3] == 255
    seen = shown[shown[..., 3] > 60]
    assert seen[:, 0].max() < 60
    assert seen[:, 2].min() > 190


def test_small_and_odd_files_come_back_as_they_are():
    small = png_bytes(scene(64, 64))
    jpeg = io.BytesIO()
    Image.fromarray(scene(900, 900)).save(jpeg, "JPEG")
    torn = png_bytes(scene(900, 900))[:2000]
    bomb = png_bytes(scene(16, 16)).replace(b"\0\0\0\x10\0\0\0\x10", b"\0\0\xff\xff\0\0\xff\xff")
    for content in (small, jpeg.getvalue(), torn, bomb, b"", b"x" * 99):
        assert smaller(content, 560).content == content


def test_thumbnails_are_made_once_and_kept_in_bounded_memory(monkeypatch, tmp_path):
    made = []

    def count(content, side):
        made.append(side)
        return thumbnails.Thumbnail(content[:1000], "image/jpeg")

    monkeypatch.setattr(thumbnails, "smaller", count)
    kept = Thumbnails(most=5000)
    for at in range(20):
        for _ in range(2):
            assert len(kept.of(tmp_path / str(at), "a", "small", bytes(2000)).content) == 1000
        assert len(kept) == min(5, at + 1) * 1000
    assert len(made) == 20
    kept.of(tmp_path / "19", "b", "small", bytes(2000))
    assert len(made) == 21
    monkeypatch.setattr(
        thumbnails, "smaller", lambda *_: thumbnails.Thumbnail(bytes(9000), "image/png")
    )
    assert len(kept.of(tmp_path / "x", "a", "small", b"").content) == 9000
    assert len(kept) == 5000


@pytest.fixture
def folder(tmp_path):
    folder = make_running(tmp_path / "runs", "live")
    folder.samples.mkdir()
    save_image(folder.samples / "samples-000000100.png", scene(1546, 1546))
    return folder


def client_of(folder, **settings):
    app = create_app(Settings(folder.path.parent, **settings))
    return TestClient(guarded(app), base_url="http://localhost", raise_server_exceptions=False)


def test_a_run_shows_its_sheet_in_the_size_that_is_asked_for(folder, tmp_path):
    client = client_of(folder)
    [run] = client.get("/v1/runs").json()["data"]
    place = f"/v1/runs/{run['id']}/pictures/samples/100"
    path = folder.samples / "samples-000000100.png"
    whole = client.get(place)
    assert whole.content == path.read_bytes()
    tags = {whole.headers["etag"]}
    for view, side in SIDES.items():
        answer = client.get(f"{place}?view={view}")
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-content-type-options"] == "nosniff"
        with opened_as(answer.content) as picture:
            assert picture.size == (side, side)
        assert len(answer.content) < len(whole.content) / 4
        again = client.get(
            f"{place}?view={view}", headers={"if-none-match": answer.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")
        tags.add(answer.headers["etag"])
    assert len(tags) == 3
    for view in ("huge", "../small", "1e9", ""):
        assert client.get(f"{place}?view={view}").status_code == 400
    before = client.get(f"{place}?view=small")
    save_image(path, 255 - scene(1546, 1546))  # a roll-back draws it anew
    after = client.get(f"{place}?view=small", headers={"if-none-match": before.headers["etag"]})
    assert after.status_code == 200
    assert after.content != before.content
    path.rename(tmp_path / "elsewhere.png")
    path.symlink_to(tmp_path / "elsewhere.png")
    assert client.get(f"{place}?view=small").status_code == 404


def test_thumbnails_want_the_token_too(folder):
    client = client_of(folder, token=TOKEN)
    known = {"authorization": f"Bearer {TOKEN}"}
    [run] = client.get("/v1/runs", headers=known).json()["data"]
    place = f"/v1/runs/{run['id']}/pictures/samples/100?view=small"
    assert client.get(place).status_code == 401
    assert client.get(place, headers=known).status_code == 200
    away = {**known, "origin": "http://evil.example"}
    assert client.get(place, headers=away).status_code == 403


@pytest.mark.parametrize(("side", "shown"), [(None, 32), (16, 16), (64, 32)])
def test_pictures_on_the_way_are_as_small_as_asked_and_the_last_one_is_whole(side, shown, tmp_path):
    import torch

    model = shaken(Diffusion(size=(32, 32), widths=(8, 16), steps=3))
    model.save_pretrained(tmp_path / "m")
    sent = []
    drawing = Drawing(lambda head, content: sent.append((head, content)), 60)
    served = opened(tmp_path / "m", torch.device("cpu"))
    drawing.add(Request("one", "me", served, 0, 2, {}, partials=2, partial_side=side))
    while len(drawing):
        drawing.turn()
    sizes = {"partial": [], "image": []}
    for head, content in sent:
        if head["is"] in sizes:
            sizes[head["is"]].append(opened_as(content).size)
    assert sizes == {"partial": [(shown, shown)] * 4, "image": [(32, 32)] * 2}


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_large_png_is_exact(channels):
    pixels = scene(256, 200, channels)
    found = np.asarray(opened_as(png_bytes(pixels)))
    assert np.array_equal(found.reshape(pixels.shape), pixels)


def pictures_of(folder):
    content, ends = (folder / "larger.bin").read_bytes(), np.load(folder / "larger.npy")
    return [content[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


@pytest.mark.parametrize(("size", "channels", "most", "kept"), [
    ((256, 192), 3, 1 << 30, (192, 256)), ((200, 200), 4, 1 << 30, (200, 200)),
    ((256, 256), 3, 250_000, (128, 128)), ((600, 300), 1, 1 << 30, (256, 512)),
])  # fmt: skip
def test_pictures_of_a_map_are_kept_as_large_as_there_is_room(
    size, channels, most, kept, tmp_path, monkeypatch
):
    monkeypatch.setattr(mapping, "MOST_LARGER", most)
    images = images_of(20, size, channels)
    assert mapping.save_larger(tmp_path, images) == max(kept)
    found = pictures_of(tmp_path)
    assert (tmp_path / "larger.bin").stat().st_size <= most
    assert len(found) == 20
    for row in (0, 7, 19):
        with opened_as(found[row]) as picture:
            assert picture.size == kept
            shown = np.asarray(picture.convert("RGBA"), float)[..., : min(channels, 3)]
        if channels != 4:
            wanted = images.gather([row])[0].astype(float).mean((0, 1))
            assert np.abs(shown.mean((0, 1)) - wanted).max() < 6


def test_where_there_is_no_room_a_picture_is_empty(tmp_path, monkeypatch):
    monkeypatch.setattr(mapping, "MOST_LARGER", 10_000)
    assert mapping.save_larger(tmp_path, images_of(20, (256, 256), 3)) == 64
    lengths = [len(one) for one in pictures_of(tmp_path)]
    assert sum(lengths) <= 10_000
    assert 0 < sum(map(bool, lengths)) < 20


def test_one_picture_of_a_map_is_given_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(mapping, "MOST_LARGER", 60_000)
    root = make_models(tmp_path / "runs")
    app = create_app(Settings(root))
    client = TestClient(guarded(app), base_url="http://localhost", raise_server_exceptions=False)
    [run] = [one for one in client.get("/v1/runs").json()["data"] if one["name"] == "vae"]
    place = f"/v1/runs/{run['id']}/latents/picture"
    assert client.get(f"{place}?row=0").status_code == 404
    folder = root / ".latents" / run["id"]
    folder.mkdir(parents=True)
    mapping.save_larger(folder, images_of(30, (256, 256), 3))
    kept = pictures_of(folder)
    for row in range(30):
        answer = client.get(f"{place}?row={row}")
        assert answer.status_code == (200 if kept[row] else 404)
        if kept[row]:
            assert (answer.content, answer.headers["content-type"]) == (kept[row], "image/jpeg")
    for row in ("30", "-1", "x", "1e3", str(2**70)):
        assert client.get(f"{place}?row={row}").status_code == 400
    np.save(folder / "larger.npy", np.array([-5, 1 << 60]))
    assert client.get(f"{place}?row=1").status_code == 404
    (folder / "larger.npy").unlink()
    (folder / "larger.npy").symlink_to(tmp_path / "elsewhere.npy")
    assert client.get(f"{place}?row=0").status_code == 404
