"""Every file of the zoo is read right or refused with the right reason; nothing else happens."""

import concurrent.futures
import json
import pickle
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from zoo import Case, build_zoo
from zoo_pictures import ALPHA, BLOCKS, DEEP, GREY, RGB, good_files, on_white, saved
from zoo_writers import as_stored, bomb_png, exif, linear_profile, png, tiff

from mezzotint.imaging.decode import MAX_PIXELS, ImageInfo, Unreadable, decode, probe

_GOOD = [name_and_data[:2] for name_and_data in good_files()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zoo")


@pytest.fixture(scope="module")
def zoo(folder: Path) -> list[Case]:
    cases = build_zoo(folder)
    assert len({case.name for case in cases}) == len(cases) >= 80
    return [case for case in cases if case.level == "decode"]


def verdict(data: bytes, name: str) -> np.ndarray | Unreadable:
    try:
        return decode(data, name, 3)
    except Unreadable as refusal:
        return refusal


def test_kept_files_give_the_pixels_they_were_written_from(zoo: list[Case], folder: Path) -> None:
    wrong = {}
    for case in (case for case in zoo if case.expect == "keep"):
        found = verdict((folder / case.name).read_bytes(), case.name)
        assert case.reference is not None
        if isinstance(found, Unreadable) or found.shape != case.reference.shape:
            wrong[case.name] = str(found)
        elif np.abs(found.astype(int) - case.reference).max() > case.tolerance:
            wrong[case.name] = f"off by {np.abs(found.astype(int) - case.reference).max()}"
    assert wrong == {}


def test_refused_files_get_the_right_reason_and_words(zoo: list[Case], folder: Path) -> None:
    wrong = {}
    for case in (case for case in zoo if case.expect == "skip"):
        found = verdict((folder / case.name).read_bytes(), case.name)
        if not isinstance(found, Unreadable) or found.reason != case.reason:
            wrong[case.name] = str(found)
        elif re.search(r"0x[0-9a-f]{4}|Traceback|\n", found.detail) or len(found.detail) < 8:
            wrong[case.name] = found.detail
    assert wrong == {}


def test_probe_tells_the_upright_size_without_decoding(
    zoo: list[Case], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", refuse)
    for case in (case for case in zoo if case.expect == "keep"):
        info = probe((folder / case.name).read_bytes(), case.name)
        assert case.reference is not None
        assert (info.height, info.width) == case.reference.shape[:2], case.name


@pytest.mark.parametrize(
    ("data", "info"),
    [
        (png(GREY >> 6, 2), ImageInfo(20, 12, "L", 2, 1, "PNG", False, True)),
        (png(GREY > 9, 1), ImageInfo(20, 12, "1", 1, 1, "PNG", False, True)),
        (png(DEEP, 16, 6), ImageInfo(20, 12, "RGBA", 16, 1, "PNG", True, False)),
        (png(DEEP[..., :2], 16, 4), ImageInfo(20, 12, "RGBA", 16, 1, "PNG", True, True)),
        (png(GREY, 8, 0, [(b"tRNS", b"\0\1")]), ImageInfo(20, 12, "L", 8, 1, "PNG", True, True)),
        (saved(GREY, "GIF"), ImageInfo(20, 12, "P", 8, 1, "GIF", False, True)),
        (saved(RGB, "JPEG"), ImageInfo(20, 12, "RGB", 8, 1, "JPEG", False, False)),
        (tiff(DEEP[..., 0], ">"), ImageInfo(20, 12, "I;16B", 16, 1, "TIFF", False, True)),
        (b"P5 2 1 65535\n1234", ImageInfo(2, 1, "I", 16, 1, "PPM", False, True)),
    ],
)
def test_probe_fields(data: bytes, info: ImageInfo) -> None:
    assert probe(data, "x") == info


@pytest.mark.parametrize("form", ["PNG", "GIF", "TIFF", "BMP"])
def test_a_palette_of_greys_is_grey(form: str) -> None:
    indexed = Image.fromarray(GREY >> 7)
    for colours, grey in ([0, 0, 0, 9, 9, 9], True), ([0, 0, 0, 9, 9, 8], False):
        indexed.putpalette(colours)
        assert probe(saved(indexed, form), "x").grey is grey


def test_frames_are_counted_and_the_first_is_read() -> None:
    others = [Image.fromarray(RGB[::-1].copy()), Image.fromarray(255 - RGB)]
    for form in ("PNG", "TIFF", "WEBP"):
        data = saved(RGB, form, save_all=True, append_images=others, lossless=True)
        assert probe(data, "x").frames == 3
        np.testing.assert_array_equal(decode(data, "x", 3), RGB)


_CHILD = """
import json, sys, time
from pathlib import Path
from mezzotint.imaging.decode import Unreadable, decode
from mezzotint.imaging.decode import probe
def peak():
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
found = []
for name in sys.argv[1:]:
    start, data = time.perf_counter(), Path(name).read_bytes()
    try:
        word = str(decode(data, name, 3).shape)
    except Unreadable as refusal:
        word = refusal.reason
    found.append([word, time.perf_counter() - start, peak()])
print(json.dumps([found, sorted(set(sys.modules) & {"torch", "scipy", "matplotlib"})]))
"""


def in_child(*files: Path) -> list[tuple[str, float, float]]:
    """Verdict, seconds and peak MiB so far of each file, in a process of its own."""
    command = [sys.executable, "-W", "error", "-c", _CHILD, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found, heavy = json.loads(done.stdout)
    assert heavy == []
    return [tuple(one) for one in found]


def test_bombs_are_refused_before_a_pixel_is_decoded(zoo: list[Case], folder: Path) -> None:
    bombs = [folder / case.name for case in zoo if case.reason == "too-large"]
    assert len(bombs) >= 9
    for path, (word, seconds, peak) in zip(bombs, in_child(*bombs), strict=True):
        assert (word, seconds < 2, peak < 300) == ("too-large", True, True), (path, seconds, peak)


def test_the_largest_picture_stays_below_a_gigabyte(tmp_path: Path) -> None:
    path = tmp_path / "limit.png"
    path.write_bytes(bomb_png(int(MAX_PIXELS**0.5)))
    [(word, _, peak)] = in_child(path)
    assert word == "(8000, 8000, 3)"
    assert peak < 1000


def test_a_jpeg_may_be_read_smaller_but_never_too_small() -> None:
    ramp = np.add.outer(np.arange(300), np.arange(500)) * 255 // 798
    upright = np.dstack([ramp, ramp[::-1], ramp[:, ::-1]]).astype(np.uint8)
    for turn in (1, 6):
        tag = b"Exif\0\0" + exif(turn)
        data = saved(as_stored(upright, turn), "JPEG", quality=95, exif=tag)
        for height, width, factor in ((37, 62, 8), (38, 62, 4), (75, 100, 4), (150, 250, 2)):
            found = decode(data, "x", 3, at_least=(height, width))
            assert found.shape[:2] == (-(-300 // factor), -(-500 // factor))
            means = upright[: 300 // factor * factor, : 500 // factor * factor].reshape(
                300 // factor, factor, 500 // factor, factor, 3
            )
            small = found[: 300 // factor, : 500 // factor]
            assert np.abs(small - means.mean((1, 3))).max() < 4
        assert decode(data, "x", 3, at_least=(200, 200)).shape == (300, 500, 3)
        assert decode(data, "x", 3, at_least=(900, 0)).shape == (300, 500, 3)


def test_a_huge_jpeg_is_read_only_when_it_may_be_read_smaller() -> None:
    flat = Image.new("L", (9000, 8000), 77)
    data = saved(flat, "JPEG", quality=50)
    found = decode(data, "x", 1, at_least=(64, 64))
    assert found.shape == (1000, 1125, 1)
    assert np.abs(found.astype(int) - 77).max() <= 1
    for refused in (data, saved(flat, "JPEG", quality=50, progressive=True)):
        with pytest.raises(Unreadable, match="too-large"):
            decode(refused, "x", 1, at_least=None if refused is data else (64, 64))


def test_transparency_is_laid_on_the_background_with_exact_rounding() -> None:
    level, alpha = np.meshgrid(np.arange(256), np.arange(256))
    data = png(np.dstack([level, alpha]).astype(np.uint8), 8, 4)
    found = decode(data, "x", 3, background=(0, 100, 255))
    for channel, ground in enumerate((0, 100, 255)):
        exact = (2 * (level * alpha + ground * (255 - alpha)) + 255) // 510
        np.testing.assert_array_equal(found[..., channel], exact)


def test_four_channels_keep_colour_and_alpha_as_stored() -> None:
    rgba = np.dstack([RGB, ALPHA])
    for data in (png(rgba, 8, 6), saved(rgba, "WEBP", lossless=True, exact=True)):
        np.testing.assert_array_equal(decode(data, "x", 4, (9, 9, 9)), rgba)
    opaque = decode(png(GREY), "x", 4)
    np.testing.assert_array_equal(opaque, np.dstack([GREY, GREY, GREY, np.full_like(GREY, 255)]))


def test_grey_from_colour_is_the_luma_of_itu_r_601() -> None:
    red, green, blue = np.moveaxis(RGB.astype(float), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    found = decode(png(RGB, 8, 2), "x", 1)
    assert found.shape == (12, 20, 1)
    assert np.abs(found[..., 0] - luma).max() <= 0.5 + 1e-3
    clear = decode(png(np.dstack([GREY, ALPHA]), 8, 4), "x", 1)
    assert np.abs(clear - on_white(GREY, ALPHA)[..., :1].astype(int)).max() <= 1


def test_profile_and_draft_and_orientation_work_together() -> None:
    picture = np.dstack([as_stored(BLOCKS, 6)] * 3)
    options = {"quality": 100, "exif": b"Exif\0\0" + exif(6), "icc_profile": linear_profile()}
    found = decode(saved(picture, "JPEG", **options), "x", 3, at_least=(2, 3))
    light = np.rint(255 * (1.055 * (BLOCKS[::8, ::8] / 255) ** (1 / 2.4) - 0.055))
    assert found.shape == (2, 3, 3)
    assert np.abs(found - light[..., None]).max() <= 2


def test_the_result_is_writable_and_contiguous() -> None:
    for channels in (1, 3, 4):
        found = decode(saved(BLOCKS, "PNG"), "x", channels)
        assert found.dtype == np.uint8
        assert found.flags.writeable
        assert found.flags.c_contiguous


def test_threads_leave_the_warning_filters_as_they_were(zoo: list[Case], folder: Path) -> None:
    before = list(warnings.filters)
    files = [(folder / case.name).read_bytes() for case in zoo if "bomb" not in case.name]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(verdict, files, ["x"] * len(files)))
    assert len(outcomes) == len(files)
    assert list(warnings.filters) == before
    with pytest.raises(UserWarning, match="still an error"):
        warnings.warn("still an error", stacklevel=1)


def test_a_refusal_travels_between_processes() -> None:
    copy = pickle.loads(pickle.dumps(Unreadable("corrupt", "cut short")))
    assert (copy.reason, copy.detail, str(copy)) == ("corrupt", "cut short", "corrupt: cut short")
    assert str(Unreadable("empty")) == "empty"


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_damage_gives_a_picture_or_a_refusal(draw: st.DataObject) -> None:
    name, data = draw.draw(st.sampled_from(_GOOD))
    bad = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        bad[draw.draw(st.integers(0, len(bad) - 1))] = draw.draw(st.integers(0, 255))
    start = time.perf_counter()
    found = verdict(bytes(bad[: draw.draw(st.integers(1, len(bad)))]), name)
    assert time.perf_counter() - start < 2
    if isinstance(found, np.ndarray):
        assert found.dtype == np.uint8
        assert found.shape[2] == 3
    else:
        assert found.reason in ("corrupt", "unsupported", "not-image", "too-large", "empty")
