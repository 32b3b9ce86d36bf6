"""The data set doctor finds every planted fault, and none in a clean set."""

import io
import json
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance

from mezzotint.data import hashes
from mezzotint.data.doctor import check
from mezzotint.data.doctor_report import Checkup
from mezzotint.data.doctor_table import table
from mezzotint.data.entry import Entry, Skip
from mezzotint.data.sources import open_source


@dataclass(frozen=True)
class Memory:
    """Images held in memory."""

    entries: Sequence[Entry]
    contents: Sequence[bytes | np.ndarray]
    skipped: Sequence[Skip] = ()
    spec: str = "memory"
    stamp: str = ""

    def read(self, index: int) -> bytes | np.ndarray:
        return self.contents[index]


def picture(seed: int, size: tuple[int, int] = (64, 64), mode: str = "RGB") -> Image.Image:
    """A scene of its own for each seed: random smooth colours with some detail."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    fine = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    layers = [layer.resize(size, Image.Resampling.BICUBIC) for layer in (coarse, fine)]
    return Image.blend(*layers, 0.3).convert(mode)


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def source(*images: tuple[Entry, Image.Image | bytes | np.ndarray]) -> Memory:
    contents = [encode(item) if isinstance(item, Image.Image) else item for _, item in images]
    return Memory([entry for entry, _ in images], contents)


def clean(count: int = 40, **facts: object) -> list[tuple[Entry, Image.Image]]:
    return [(Entry(f"{i:04}.png", **facts), picture(i)) for i in range(count)]  # type: ignore[arg-type]


def codes(checkup: Checkup) -> set[str]:
    return {problem.code for problem in checkup.problems}


def problem(checkup: Checkup, code: str) -> tuple[int, tuple[str, ...]]:
    found = next(p for p in checkup.problems if p.code == code)
    return found.count, found.examples


def jpeg(image: Image.Image) -> Image.Image:
    return Image.open(io.BytesIO(encode(image, "JPEG", quality=50))).convert("RGB")


def cropped(image: Image.Image) -> Image.Image:
    x, y = round(image.width * 0.01), round(image.height * 0.01)
    return image.crop((x, y, image.width - x, image.height - y))


def halved(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)


VERSIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg": jpeg,
    "half": halved,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.05),
    "crop": cropped,
}


def test_a_clean_set_has_no_problem() -> None:
    images = clean(60)
    entries = [
        Entry(
            e.name, label="ab"[i % 2], caption=f"scene {i}", split="train" if i < 50 else "held_out"
        )
        for i, (e, _) in enumerate(images)
    ]
    checkup = check(source(*((entry, image) for entry, (_, image) in zip(entries, images))))
    assert checkup.problems == ()
    assert checkup.exit_code == 0
    assert (checkup.usable, checkup.total) == (60, 60)
    assert checkup.sizes.common == {"64x64": 60}
    assert checkup.classes == {"a": 30, "b": 30}
    assert checkup.splits == {"train": 50, "held_out": 10}
    assert (checkup.suggested_size, checkup.suggested_channels) == ((64, 64), 3)
    assert checkup.captions.median_length == len("scene 10")


def test_unreadable_files_are_listed_with_their_reason() -> None:
    cut = encode(picture(900), "PNG")[:-400]
    bad = [(Entry("cut.png"), cut), (Entry("none.png"), b""), (Entry("text.png"), b"hello")]
    planted = source(*clean(12), *bad)
    checkup = check(planted)
    reasons = {skip.name: skip.reason for skip in checkup.unreadable}
    assert reasons == {"cut.png": "corrupt", "none.png": "empty", "text.png": "not-image"}
    assert codes(checkup) == {"unreadable"}
    assert problem(checkup, "unreadable")[0] == 3
    assert checkup.exit_code == 0
    assert check(planted, strict=True).exit_code == 65


def test_files_the_listing_skipped_count_as_unreadable() -> None:
    memory = source(*clean(12))
    checkup = check(Memory(memory.entries, memory.contents, (Skip("a.heic", "unsupported"),)))
    assert [skip.name for skip in checkup.unreadable] == ["a.heic"]
    assert checkup.total == 13


def test_a_source_that_fails_to_read_is_no_crash() -> None:
    class Vanishing(Memory):
        def read(self, index: int) -> bytes | np.ndarray:
            if index == 3:
                raise FileNotFoundError(2, "No such file or directory")
            return super().read(index)

    memory = source(*clean(8))
    checkup = check(Vanishing(memory.entries, memory.contents))
    assert [(s.name, s.reason) for s in checkup.unreadable] == [("0003.png", "unreadable")]


def test_nothing_usable_is_an_error() -> None:
    assert check(Memory([], [])).exit_code == 65
    assert codes(check(source((Entry("x.png"), b"junk")))) == {"no-images", "unreadable"}


def test_exact_duplicates_are_found_across_formats_and_modes() -> None:
    grey = picture(500, mode="L")
    copies = [
        (Entry("copy.bmp"), encode(picture(3), "BMP")),
        (Entry("grey.png"), grey),
        (Entry("grey-rgb.webp"), encode(grey.convert("RGB"), "WEBP", lossless=True)),
        (Entry("opaque.png"), picture(4).convert("RGBA")),
    ]
    checkup = check(source(*clean(10), *copies))
    groups = {frozenset(group) for group in checkup.duplicates}
    assert groups == {
        frozenset({"0003.png", "copy.bmp"}),
        frozenset({"0004.png", "opaque.png"}),
        frozenset({"grey.png", "grey-rgb.webp"}),
    }
    assert problem(checkup, "duplicates")[0] == 3
    assert "near-duplicates" not in codes(checkup)


def test_large_jpegs_that_differ_in_detail_only_are_not_exact_copies() -> None:
    """Decoded at an eighth these two are equal: the change has no mean over a block."""
    base = np.asarray(picture(1, (512, 512), "L")).copy()
    base[:64, :64] = 128
    changed = base.copy()
    changed[8:16, 8:16:2] += 40
    changed[8:16, 9:16:2] -= 40
    files = [
        encode(Image.fromarray(pixels), "JPEG", quality=95) for pixels in (base, changed, base)
    ]
    checkup = check(source(*((Entry(f"{i}.jpg"), file) for i, file in enumerate(files))))
    assert checkup.duplicates == (("0.jpg", "2.jpg"),)
    assert checkup.near_duplicates == (("0.jpg", "1.jpg"),)


@pytest.mark.parametrize("version", VERSIONS)
def test_near_duplicates_are_found(version: str) -> None:
    originals = clean(40)
    copies = [
        (Entry(f"copy-{entry.name}"), VERSIONS[version](image)) for entry, image in originals[:20]
    ]
    checkup = check(source(*originals, *copies))
    wanted = {frozenset({entry.name[5:], entry.name}) for entry, _ in copies}
    assert {frozenset(group) for group in checkup.near_duplicates} == wanted
    assert checkup.duplicates == ()
    assert "near-duplicates" not in codes(check(source(*originals, *copies), near=0))


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_of_real_photographs_are_found_and_nothing_else(version: str) -> None:
    from skimage import data

    names = ["astronaut", "camera", "cat", "coffee", "coins", "rocket", "moon", "retina", "text"]
    photos = [Image.fromarray(getattr(data, name)()).convert("RGB") for name in names]
    for photo in photos:
        photo.thumbnail((256, 256))
    images = [(Entry(name), photo) for name, photo in zip(names, photos)]
    images += [(Entry(f"{n}-2"), VERSIONS[version](photo)) for n, photo in zip(names, photos)]
    checkup = check(source(*images))
    assert {frozenset(g) for g in checkup.near_duplicates} == {
        frozenset({name, f"{name}-2"}) for name in names
    }


def test_simple_shapes_and_blank_images_are_not_near_duplicates() -> None:
    def shape(kind: str, colour: str, at: int) -> Image.Image:
        image = Image.new("RGB", (64, 64), "white")
        getattr(ImageDraw.Draw(image), kind)((at, at, at + 30, at + 30), fill=colour)
        return image

    kinds, colours = ("ellipse", "rectangle"), ("black", "#1350cd", "#cd3b13")
    images = [
        (Entry(f"{k}-{c}-{at}"), shape(k, c, at))
        for k in kinds
        for c in colours
        for at in (4, 16, 28)
    ]
    images += [(Entry(f"blank-{v}"), Image.new("RGB", (64, 64), (v, v, v))) for v in (0, 9, 250)]
    checkup = check(source(*images))
    assert checkup.near_duplicates == ()
    assert problem(checkup, "constant") == (3, ("blank-0", "blank-9", "blank-250"))


def test_distinct_garments_give_almost_no_pairs() -> None:
    path = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")
    if not path.exists():
        pytest.skip("needs Debian's dataset-fashion-mnist")
    import gzip

    pixels = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=16)
    images = pixels.reshape(-1, 28, 28, 1)[:2000]
    entries = [Entry(f"{i:05}") for i in range(len(images))]
    checkup = check(Memory(entries, list(images)))
    assert sum(len(group) - 1 for group in checkup.near_duplicates) <= 2


def test_leaks_between_the_sides() -> None:
    train = clean(30, split="train")
    held = [(Entry(f"held/{i}.png", split="held_out"), picture(100 + i)) for i in range(10)]
    planted = [
        (Entry("held/same.png", split="held_out"), picture(5)),
        (Entry("held/like.jpg", split="held_out"), encode(picture(6), "JPEG", quality=50)),
    ]
    checkup = check(source(*train, *held, *planted))
    assert problem(checkup, "leaks") == (1, ("held/same.png is in train as 0005.png",))
    assert problem(checkup, "near-leaks") == (1, ("held/like.jpg is in train as 0006.png",))


def test_copies_within_one_side_are_no_leak() -> None:
    images = [*clean(12, split="train"), (Entry("copy", split="train"), picture(1))]
    assert codes(check(source(*images))) == {"duplicates"}


def test_one_picture_under_two_labels() -> None:
    images = clean(20, label="cat") + [
        (Entry(f"dog-{i}", label="dog"), picture(50 + i)) for i in range(20)
    ]
    images += [(Entry("dog-same", label="dog"), picture(2))]
    images += [(Entry("dog-like", label="dog"), halved(picture(3)))]
    checkup = check(source(*images))
    assert problem(checkup, "label-conflicts") == (2, ("0002.png: cat", "dog-same: dog"))
    assert problem(checkup, "near-label-conflicts") == (2, ("0003.png: cat", "dog-like: dog"))


def test_class_balance() -> None:
    labels = ["many"] * 45 + ["few"] * 4 + [None]
    images = [(Entry(f"{i}", label=label), picture(i)) for i, label in enumerate(labels)]
    checkup = check(source(*images))
    assert problem(checkup, "imbalance") == (1, ("few: 4",))
    assert problem(checkup, "small-classes") == (1, ("few: 4",))
    assert problem(checkup, "unlabelled") == (1, ("49",))
    assert checkup.classes == {"few": 4, "many": 45}


def test_captions() -> None:
    captions = ["a red house"] * 12 + ["a tree", " ", None]
    images = [(Entry(f"{i}", caption=text), picture(i)) for i, text in enumerate(captions)]
    checkup = check(source(*images))
    assert problem(checkup, "captions-missing") == (1, ("14",))
    assert problem(checkup, "captions-empty") == (1, ("13",))
    assert problem(checkup, "captions-repeated") == (1, ("12x a red house",))
    found = checkup.captions
    assert (found.count, found.missing, found.empty, found.median_length) == (13, 1, 1, 11)
    assert found.repeated == pytest.approx(12 / 13)


def test_mixed_forms_and_sizes() -> None:
    deep = Image.fromarray(np.asarray(picture(70, mode="L")).astype(np.uint16) * 257)
    hole = picture(71).convert("RGBA")
    hole.paste((0, 0, 0, 0), (0, 0, 20, 20))
    frames = [picture(72), picture(73)]
    odd = [
        (Entry("deep.png"), deep),
        (Entry("hole.png"), hole),
        (Entry("palette.png"), picture(74).quantize(64)),
        (Entry("moving.gif"), encode(frames[0], "GIF", save_all=True, append_images=frames[1:])),
        (Entry("small.png"), picture(75, (40, 12))),
        (Entry("long.png"), picture(76, (300, 60))),
    ]
    checkup = check(source(*clean(12), *odd))
    assert problem(checkup, "deep") == (1, ("deep.png",))
    assert problem(checkup, "transparent") == (1, ("hole.png",))
    assert problem(checkup, "animated") == (1, ("moving.gif",))
    assert problem(checkup, "tiny") == (1, ("small.png",))
    assert problem(checkup, "extreme-aspect") == (1, ("long.png",))
    assert problem(checkup, "mixed-sizes")[0] == 2
    assert set(problem(checkup, "mixed-modes")[1]) == {
        "deep.png",
        "hole.png",
        "palette.png",
        "moving.gif",
    }
    assert checkup.formats == {"PNG": 17, "GIF": 1}
    assert checkup.bits == {"8": 17, "16": 1}
    assert (checkup.sizes.width.least, checkup.sizes.width.most) == (40, 300)
    assert checkup.sizes.short.least == 12


def test_grey_pictures_in_colour_files() -> None:
    images = [(Entry(f"{i}"), picture(i, mode="L").convert("RGB")) for i in range(12)]
    checkup = check(source(*images))
    assert codes(checkup) == {"grey-as-colour"}
    assert (checkup.grey, checkup.suggested_channels) == (12, 1)
    assert "RGB" in next(line for line in table(checkup).splitlines() if "trains at" in line)


def test_pictures_that_vanish_on_white_count_as_constant() -> None:
    alpha = Image.new("L", (64, 64), 0)
    ImageDraw.Draw(alpha).ellipse((10, 10, 50, 50), fill=255)
    ghost = Image.new("RGBA", (64, 64), "white")
    ghost.putalpha(alpha)
    checkup = check(source(*clean(4), (Entry("ghost.png"), ghost)))
    assert problem(checkup, "constant") == (1, ("ghost.png",))
    assert checkup.transparent == 1


def test_json_round_trip_and_stable_keys() -> None:
    images = [*clean(12), (Entry("copy"), picture(1)), (Entry("bad"), b"x")]
    plain = check(source(*images)).as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["schema"] == 1
    assert list(plain) == [
        *("schema", "exit_code", "spec", "total", "usable", "unreadable", "formats", "modes"),
        *("bits", "sizes", "grey", "transparent", "animated", "constant", "splits", "classes"),
        *("captions", "duplicates", "near_duplicates", "suggested_size", "suggested_channels"),
        "problems",
    ]
    assert list(plain["problems"][0]) == ["code", "severity", "what", "count", "examples", "fix"]


def test_examples_stop_at_twenty() -> None:
    images = [(Entry(f"{i}"), picture(0)) for i in range(50)]
    count, examples = problem(check(source(*images)), "duplicates")
    assert (count, len(examples)) == (49, 20)


def test_progress_and_order_do_not_depend_on_threads() -> None:
    seen: list[tuple[int, int]] = []
    memory = source(*clean(30), (Entry("copy"), picture(1)))
    first = check(memory, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 31) for i in range(1, 32)]
    assert check(memory) == first


def test_table_fits_the_terminal_and_keeps_odd_names() -> None:
    odd = [(Entry("a[bold]b[/x] " + "long/" * 40 + ".png"), b""), (Entry("copy"), picture(1))]
    text = table(check(source(*clean(12, label="very [red] class"), *odd)))
    assert max(map(len, text.splitlines())) <= 80
    assert "a[bold]b[/x]" in text
    assert "[duplicates]" in text
    assert "very [red] class 12" in text
    assert "nothing is wrong" in table(check(source(*clean(12))))
    assert text.isascii()


def test_the_real_folder_source(tmp_path: Path) -> None:
    for i in range(24):
        file = tmp_path / ("cat" if i % 2 else "dog") / f"{i}.png"
        file.parent.mkdir(exist_ok=True)
        picture(i).save(file)
    picture(2).save(tmp_path / "cat" / "twin.png")
    (tmp_path / "dog" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    checkup = check(open_source(str(tmp_path)))
    assert codes(checkup) == {"duplicates", "label-conflicts", "unreadable"}
    assert checkup.classes == {"cat": 13, "dog": 12}
    assert [skip.name for skip in checkup.unreadable] == ["dog/broken.jpg"]


def test_memory_does_not_grow_with_the_pixels() -> None:
    """200 images of 768 kB pixels each leave about a kilobyte behind."""
    file = encode(picture(1, (512, 512)), "JPEG", quality=30)
    memory = Memory([Entry(f"{i}") for i in range(200)], [file] * 200)
    tracemalloc.start()
    try:
        check(memory, near=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60e6  # all pixels together are 157 MB


CODES = st.lists(
    st.one_of(
        st.integers(0, 2**64 - 1),
        st.tuples(
            st.sampled_from([0, 2**64 - 1, 0xF0F0]), st.sets(st.integers(0, 63), max_size=9)
        ).map(lambda pair: pair[0] ^ sum(1 << bit for bit in pair[1])),
    ),
    max_size=60,
)


@given(CODES, st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_banded_search_equals_brute_force(values: list[int], radius: int) -> None:
    array = np.array(values, dtype=np.uint64)
    found = [tuple(pair) for block in hashes.pairs_within(array, radius) for pair in block.tolist()]
    wanted = {
        (i, j)
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if (values[i] ^ values[j]).bit_count() <= radius
    }
    assert len(found) == len(set(found))
    assert set(found) == wanted


def test_a_crowd_of_one_code_stays_one_group_without_all_its_pairs() -> None:
    count = 3000
    codes_ = np.full(count, 7, dtype=np.uint64)
    pairs = np.concatenate(list(hashes.candidates(codes_)))
    assert len(pairs) < 64 * count
    assert set(pairs.ravel().tolist()) == set(range(count))


def test_hash_is_that_of_the_orthonormal_dct() -> None:
    from scipy.fft import dctn

    luma = np.random.default_rng(0).integers(0, 256, (20, 32, 32)).astype(np.uint8)
    for image, code in zip(luma, hashes.phash(luma)):
        low = dctn(image.astype(float), norm="ortho")[:8, :8].ravel()
        bits = "".join("1" if c > np.median(low[1:]) else "0" for c in low)
        assert int(code) == int(bits, 2)
