"""The page in a browser, end to end on real models: what it shows, does and survives."""

import base64
import io
import json
import shlex
import shutil
import time
import zipfile
from pathlib import Path

import axe_core_python
import httpx
import numpy as np
import pytest
from browser_kit import CHROMIUM, Browser
from page_kit import HOSTILE, go_on, make_hostile, make_pictures, make_root, make_running
from serving_kit import TOKEN, Server, serving

from mezzotint.images import png_bytes
from mezzotint.serving.thumbnails import SIDES

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
]
AXE = Path(axe_core_python.__file__).with_name("axe.min.js")
JUDGED = """axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations
    .filter((one) => ['serious', 'critical'].includes(one.impact))
    .map((one) => [one.id, ...one.nodes.map((node) => node.target + node.failureSummary)]))"""
UNNAMED = """[...document.querySelectorAll('button, input, select, textarea, a')].filter((e) =>
    e.checkVisibility() && !(e.labels?.length || e.getAttribute('aria-label') ||
    e.innerText.trim())).map((e) => e.outerHTML)"""
WHERE = """(() => { const p = document.querySelector('.explorer').plane;
    const b = p.canvas.getBoundingClientRect(), s = p.spot(7), e = 14;
    return [b.left + s[0], b.top + s[1], b.left + e, b.top + e, b.right - e, b.bottom - e]; })()"""
COUNTING = """window.coming = 0; new MutationObserver(() => {
    window.coming += document.querySelectorAll('.tile.coming').length;
}).observe(document.querySelector('.wall'), {subtree: true, attributes: true})"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_root(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def server(root):
    with serving(root) as running:
        yield running


@pytest.fixture(scope="module")
def shared():
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(shared, server):
    shared.log.clear()
    shared.resize(1200, 900)
    yield shared
    assert shared.complaints(server.url) == []


def moved(selector: str, value: object) -> str:
    """A script that gives a control a value as a person would."""
    tell = "e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change'));"
    return f"(() => {{ const e = {selector}; e.value = {value!r}; {tell} }})()"


def option(name: str) -> str:
    """The control of a field that begins with a name."""
    return (
        "[...document.querySelectorAll('.field')].find((f) => "
        f"f.innerText.startsWith({name!r})).querySelector('input, select')"
    )


def visit(browser, server, place=""):
    browser.open("about:blank")
    browser.open(f"{server.url}/#/{place}")
    browser.wait("document.documentElement.dataset.ready")


def text(browser) -> str:
    return browser.run("document.getElementById('view').innerText")


def click(browser, words, among="button, a, summary"):
    browser.run(
        f"[...document.querySelectorAll('{among}')].find((e) => e.innerText.trim() === "
        f"{words!r}).click()"
    )


def run_id(server, name) -> str:
    for _ in range(40):
        runs = httpx.get(f"{server.url}/v1/runs").json()["data"]
        if found := [run["id"] for run in runs if run["name"] == name]:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"{name} is not listed")


def test_all_runs_are_listed_with_their_state(browser, server):
    visit(browser, server)
    browser.wait("document.querySelectorAll('.card').length === 3")
    shown = text(browser)
    for words in ("tiny", "autoencoder", "finished", "1.54k images seen", "steps", "diffusion"):
        assert words in shown
    assert browser.run("document.querySelectorAll('.card img').length") == 1
    browser.wait("document.querySelector('.card img').naturalWidth > 20")
    assert browser.run("performance.now()") < 20_000


@pytest.mark.parametrize(("width", "theme"), [(1200, "light"), (360, "dark")])
def test_every_view_fits_and_keyboards_reach_it(browser, server, width, theme):
    feature = {"name": "prefers-color-scheme", "value": theme}
    browser.call("Emulation.setEmulatedMedia", features=[feature])
    browser.resize(width, 800)
    tiny = run_id(server, "tiny")
    for view in ("runs", f"run/{tiny}", "train", "generate", "look", "explore", "compare"):
        visit(browser, server, view)
        assert browser.run("document.documentElement.scrollWidth") <= width, view
        assert browser.run(UNNAMED) == [], view
        browser.run(AXE.read_text(encoding="utf-8"))
        assert browser.run(JUDGED) == [], view
        assert browser.run("document.querySelectorAll('h1').length") == 1, view
        assert browser.run(
            "[...document.querySelectorAll('[tabindex]')].every((e) => e.tabIndex < 1)"
        )


def test_a_run_moves_while_it_trains_and_survives_the_server(browser, server, root):
    folder = make_running(root, "live")
    with folder.hold():
        go_on(folder, 100)
        visit(browser, server, f"run/{run_id(server, 'live')}")
        browser.wait("document.querySelector('.chip').innerText === 'training'")
        browser.wait("document.querySelector('.when').innerText === 'after 100 images'")
        for images in (200, 300):
            go_on(folder, images)
            browser.wait(
                f"document.querySelector('.when').innerText === 'after {images} images'", 4
            )
        assert "300 images seen" in text(browser)
        assert "held out" in text(browser)
        browser.wait(
            "document.querySelector('.trace').getAttribute('points').split(' ').length === 3"
        )
        assert server.stop() == 0
        browser.wait("!document.getElementById('offline').hidden", 8)
        go_on(folder, 400)
        again = Server(root, "--port", str(server.port))
        try:
            browser.wait("document.getElementById('offline').hidden", 12)
            browser.wait("document.querySelector('.when').innerText === 'after 400 images'", 8)
        finally:
            server.process = again.process
        refused = [e for e in browser.log if "ERR_CONNECTION_REFUSED" in str(e)]
        assert refused
        browser.log[:] = [e for e in browser.log if e not in refused]
    browser.wait("document.querySelector('.chip').innerText === 'stopped'", 4)
    assert "Resume" in text(browser)


def test_pictures_arrive_say_how_they_were_made_and_can_be_made_again(browser, server):
    visit(browser, server, f"generate?run={run_id(server, 'steps')}")
    browser.wait("document.querySelectorAll('.fields select').length === 2")
    browser.run("document.querySelector('.fields select').value = '=two'")
    browser.run(COUNTING)
    browser.run("document.querySelector('form').requestSubmit()")
    browser.wait("document.querySelectorAll('.tile:not(.coming):not(.waiting)').length === 8")
    assert browser.run("window.coming") > 0
    browser.run("document.querySelectorAll('.tile')[1].click()")
    told = browser.run("document.querySelector('dialog').innerText")
    assert "mezzotint sample steps -n 1 --seed 1 --label two --steps 5" in told
    click(browser, "Make it again")
    browser.wait("document.querySelector('.verdict').innerText.includes('byte for byte')")
    browser.press("Escape")


def test_commands_say_what_a_model_that_reads_text_was_asked(browser, server):
    browser.open(server.url)
    script = """import('/page/shot.js').then(({ command }) => [
      command({ run: 'a b', asked: { num_inference_steps: 5, negative_prompt: 'x y' }, seed: 3 },
              { prompt: "it's red" }),
      command({ run: 'text', asked: { prompt: '' }, seed: 4 }, { prompt: '' }),
      command({ run: 'plain', asked: { prompt: '', label: 'one' }, seed: 5 }, { label: 'one' }),
    ].map((one) => one.textContent))"""
    assert [shlex.split(words)[2:-2] for words in browser.run(script)] == [
        ["a b", "-n", "1", "--seed", "3", "--prompt", "it's red", "--negative-prompt", "x y",
         "--steps", "5"],
        ["text", "-n", "1", "--seed", "4", "--prompt", ""],
        ["plain", "-n", "1", "--seed", "5", "--label", "one"],
    ]  # fmt: skip


def test_pictures_are_repaired_and_judged(browser, server, tmp_path):
    paths = make_pictures(tmp_path)
    visit(browser, server, f"look?run={run_id(server, 'tiny')}")
    browser.choose(".drop input", *paths)
    browser.wait("document.querySelectorAll('.triple').length === 4")
    assert (
        browser.run("document.querySelectorAll('.triple')[0].querySelectorAll('img').length") == 2
    )
    browser.run(moved("document.querySelector('.side input[type=range]')", 0.5))
    browser.wait("document.querySelectorAll('.triple')[0]?.querySelectorAll('img').length === 3")
    click(browser, "Find anomalies")
    browser.wait("document.querySelectorAll('.found li').length === 4")
    for place, flagged in ((0, "34"), (1000, "0")):  # the least score may be one of them
        browser.run(moved("document.querySelector('.results input[type=range]')", place))
        assert text(browser).partition(" of 4 pictures flagged")[0][-1] in flagged


def test_a_dropped_folder_is_looked_at_trained_on_stopped_and_resumed(browser, server, tmp_path):
    with zipfile.ZipFile(tmp_path / "my pictures.zip", "w") as archive:
        for kind in ("good", "<b>fine</b>"):
            for path in make_pictures(tmp_path / "a", 24):
                archive.write(path, f"{kind}/{path.name}".replace("</", "<\u2215"))
    visit(browser, server, "train?family=autoencoder")
    browser.choose(".drop input", tmp_path / "my pictures.zip")
    browser.wait("document.querySelector('.checkup')?.innerText.includes('48 of 48')", 40)
    assert "<b>fine<" in text(browser)
    assert browser.run("document.querySelector('.choice :checked').value") != "digits"
    browser.run("document.querySelector('.more-options').open = true")
    for name, value in (("widths", "8, 16"), ("batch", "0")):
        browser.run(moved(option(name), value))
    click(browser, "Start training")
    browser.wait("document.querySelector('.trouble')?.innerText.includes('batch')")
    browser.run(moved(option("batch"), "16"))
    browser.run(moved(option("log_every"), "5"))
    browser.run(moved(option("length"), "1h"))
    click(browser, "Start training")
    browser.wait("location.hash.startsWith('#/run/')")
    browser.wait("document.querySelector('.chip')?.innerText === 'training'", 40)
    browser.wait("document.querySelectorAll('.trace').length > 0", 30)
    click(browser, "Stop")
    browser.wait("document.querySelector('.chip').innerText === 'stopped'", 30)
    click(browser, "Resume")
    browser.wait("document.querySelector('.chip').innerText === 'training'", 40)
    click(browser, "Stop")
    browser.wait("document.querySelector('.chip').innerText === 'stopped'", 30)
    browser.log[:] = [e for e in browser.log if "400" not in str(e)]


def test_hostile_texts_are_texts(browser, tmp_path):
    root = make_hostile(tmp_path / "runs")
    pictures = tmp_path / "p"
    pictures.mkdir()
    names = [f"{text}.png".replace("/", "\u2215") for text in HOSTILE]
    [path] = make_pictures(tmp_path / "q", 1)
    for name in names:
        (pictures / name).write_bytes(path.read_bytes())
    with serving(root, "--data", str(pictures)) as server:
        browser.open("about:blank")
        browser.log.clear()
        visit(browser, server)
        browser.wait(f"document.querySelectorAll('.card').length === {len(HOSTILE)}")
        cards = browser.run("[...document.querySelectorAll('.card h2')].map((e) => e.textContent)")
        for text_ in HOSTILE:
            shown = text_.replace("/", "\u2215")
            assert any(shown in one for one in cards)
        first = run_id(server, f"0 {HOSTILE[0]}".replace("/", "\u2215"))
        visit(browser, server, f"generate?run={first}")
        browser.wait("document.querySelectorAll('.fields option').length > 25")
        labels = browser.run(
            "[...document.querySelector('.fields select').options].map((o) => o.text)"
        )
        assert [one.strip() for one in labels[1:-1]] == [one.strip() for one in HOSTILE]
        browser.run(f"document.querySelector('.fields select').value = {'=' + HOSTILE[1]!r}")
        browser.run(moved("[...document.querySelectorAll('.side input[type=range]')].at(-1)", 2))
        browser.run("document.querySelector('form').requestSubmit()")
        browser.wait("document.querySelectorAll('.tile:not(.coming):not(.waiting)').length === 2")
        browser.run("document.querySelector('.tile').click()")
        assert HOSTILE[1] in browser.run("document.querySelector('dialog').innerText")
        browser.press("Escape")
        visit(browser, server, "look")
        browser.choose(".drop input", *[pictures / name for name in names])
        browser.wait(f"document.querySelectorAll('.triple').length === {len(names)}")
        titles = browser.run(
            "[...document.querySelectorAll('.triples h3')].map((e) => e.textContent)"
        )
        assert sorted(titles) == sorted(names)
        visit(browser, server, "train")
        browser.wait("document.querySelectorAll('.choice').length > 5")
        inner = "script, iframe, object, base, style, [onload], [onerror], [onfocus]"
        foreign = f"document.querySelector('main').querySelectorAll('{inner}').length"
        assert browser.run(foreign) == 0
        browser.open("about:blank")
        assert browser.complaints(server.url) == []
        browser.log.clear()


def test_the_link_lets_a_browser_in(browser, root):
    with serving(root, "--token", TOKEN) as server:
        link = server.greeting.split()[-1].replace("localhost", "127.0.0.1")
        browser.open("about:blank")
        browser.log.clear()
        browser.open(link)
        browser.wait("document.querySelectorAll('.card').length >= 3")
        browser.open("about:blank")
        assert browser.complaints(server.url) == []
        browser.log.clear()


def test_latents_are_explored(browser, server):
    tiny = run_id(server, "tiny")
    visit(browser, server, f"explore/{tiny}")
    browser.wait("!!document.querySelector('.order')")
    browser.run(moved("document.querySelectorAll('.order select')[1]", 1000))
    click(browser, "Make the map")
    browser.wait("document.querySelector('.explorer').dataset.points === '1000'", 60)
    browser.run("scrollTo(0, 0), document.querySelector('.explorer').plane.spot(0)")
    where = WHERE
    x, y, left, top, right, bottom = browser.run(where)
    browser.mouse("mouseMoved", x, y)
    assert browser.run("document.querySelector('.point-card').hidden") is False
    named = browser.run("document.querySelector('.point-card .name').textContent")
    browser.drag([(x, y), (x, y)])
    browser.wait("document.querySelectorAll('.side .thumbs li').length === 12")
    assert browser.run("document.querySelector('.side h2').textContent") == named
    click(browser, "Walk")
    browser.drag([(x, y), (x, y)])
    browser.run("document.querySelector('.explorer').plane.tell({pick: 400})")
    browser.wait("document.querySelectorAll('.walk img').length === 9")
    click(browser, "Choose")
    browser.drag([(left, top), (right, top), (right, bottom), (left, bottom)])
    browser.wait("document.querySelector('.side h2').textContent === '1,000 pictures chosen'")
    browser.run("document.querySelector('.plane').focus()")
    for key in ("0", "+", "ArrowRight", "ArrowDown", "Enter", "Escape"):
        browser.press(key)
    for colour in ("error", "density"):
        browser.run(moved(option("colour"), colour))
        assert browser.run("document.querySelectorAll('.strip-colours i').length") == 12


def test_runs_stand_side_by_side_on_equal_seeds(browser, server):
    runs = [run_id(server, name) for name in ("steps", "vae", "tiny")]
    visit(browser, server, f"compare?runs={','.join(runs)}")
    browser.wait("document.querySelectorAll('.pictures-table img').length === 12")
    assert "makes no new pictures" in text(browser)
    row = "document.querySelectorAll('.pictures-table tbody tr')[1].querySelectorAll('img')"
    shown = browser.run(f"[...{row}].map((e) => e.src)")
    place, asked = f"{server.url}/v1/images/generations", {"prompt": "", "model": "vae", "n": 6}
    made = [one["b64_json"] for one in httpx.post(place, json=asked).json()["data"]]
    assert [one.partition(",")[2] for one in shown] == made
    browser.run("document.querySelector('.compare-list :checked').click()")
    assert browser.run("location.hash").count(",") == 1


@pytest.mark.slow
def test_runs_are_measured(browser, server):
    runs = [run_id(server, name) for name in ("steps", "vae")]
    visit(browser, server, f"compare?runs={','.join(runs)}")
    browser.wait("document.querySelectorAll('.measure option').length > 1")
    browser.run(moved("document.querySelector('.measure select')", "digits"))
    click(browser, "Measure them")
    browser.wait("!!document.querySelector('.numbers-table')", 150)
    assert "Fréchet distance" in text(browser)


def test_a_folder_is_packed_into_a_zip_that_python_reads(browser, server, tmp_path):
    visit(browser, server)
    script = """(async () => { const { zipped, unwrapped } = await import('/page/zip.js');
        const files = [['top/é/a.png', new File([new Uint8Array([1, 2, 3])], 'a.png')],
            ['top/b.txt', new File(['hello'], 'b')], ['top/empty', new File([], 'e')]];
        const { name, files: inner } = unwrapped(files);
        const bytes = new Uint8Array(await (await zipped(inner)).arrayBuffer());
        return [name, btoa(String.fromCharCode(...bytes))]; })()"""
    name, content = browser.run(script)
    assert name == "top"
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(content))) as archive:
        assert archive.testzip() is None
        found = {one: archive.read(one) for one in archive.namelist()}
    assert found == {"é/a.png": b"\1\2\3", "b.txt": b"hello", "empty": b""}


@pytest.fixture
def large(root, browser):
    """Runs with sheets of large pictures, gone again afterwards."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (1546, 1546, 4), dtype=np.uint8)
    content = png_bytes(pixels)
    folders = [make_running(root, f"large{at:02d}") for at in range(16)]
    for folder in folders:
        header = json.loads((folder.path / "run.json").read_text())
        header["model"] |= {"channels": 4}
        (folder.path / "run.json").write_text(json.dumps(header))
        folder.samples.mkdir()
        (folder.samples / "samples-000000100.png").write_bytes(content)
    yield pixels
    browser.open("about:blank")
    for folder in folders:
        shutil.rmtree(folder.path)


FETCHED = """performance.getEntriesByType('resource').filter((one) =>
    one.name.includes('/pictures/')).map((one) => one.name)"""


def test_pictures_far_below_are_not_loaded_and_none_is_loaded_whole(browser, server, large):
    browser.resize(360, 640)
    visit(browser, server)
    browser.wait("document.querySelectorAll('.card img').length >= 16", 20)
    browser.wait("document.querySelector('.card img').naturalWidth > 0")
    time.sleep(0.3)
    first = browser.run(FETCHED)
    assert 1 <= len(first) < 14
    browser.run("scrollTo(0, document.body.scrollHeight)")
    browser.wait(f"{FETCHED}.length > {len(first)}")
    assert all(name.endswith("?view=small") for name in browser.run(FETCHED))
    assert browser.run("document.querySelector('.card img').naturalWidth") == SIDES["small"]


@pytest.mark.parametrize(("width", "theme"), [(1200, "dark"), (360, "light")])
def test_a_sheet_is_seen_pixel_for_pixel_by_keyboard(browser, server, large, width, theme):
    feature = {"name": "prefers-color-scheme", "value": theme}
    browser.call("Emulation.setEmulatedMedia", features=[feature])
    browser.resize(width, 700)
    visit(browser, server, f"run/{run_id(server, 'large03')}")
    frame = "document.querySelector('.frame')"
    browser.wait(f"{frame}.naturalWidth === {SIDES['medium']}")
    browser.wait(f"getComputedStyle({frame}).imageRendering === 'auto'")
    browser.run(f"{frame}.closest('button').focus()")
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
    browser.call("Input.dispatchKeyEvent", type="keyDown", **enter)
    browser.wait("document.querySelector('.zoom img')?.width === 1546")
    where = """(async () => { const c = document.createElement('canvas'), p = c.getContext('2d');
        const i = document.querySelector('.zoom img');
        await i.decode();
        p.drawImage(i, 700, 900, 1, 1, 0, 0, 1, 1);
        return [...p.getImageData(0, 0, 1, 1).data]; })()"""
    shown = np.array(browser.run(where))
    assert shown[3] == large[900, 700, 3]
    assert np.abs(shown - large[900, 700].astype(int)).max() < 3  # a canvas premultiplies colours
    assert browser.run("document.activeElement.className") == "zoom-field"
    pressed = "[...document.querySelectorAll('.zoom [aria-pressed=true]')].map((e) => e.innerText)"
    assert browser.run(pressed) == ["Checks", "1:1"]
    browser.run(AXE.read_text(encoding="utf-8"))
    assert browser.run(JUDGED) == []
    browser.press("+")
    assert browser.run("document.querySelector('.zoom img').width") == 3092
    browser.press("0")
    inside = """(() => { const f = document.querySelector('.zoom-field'),
        i = f.firstChild; return i.width <= f.clientWidth && i.height <= f.clientHeight; })()"""
    assert browser.run(inside)
    assert "1546 x 1546 pixels" in browser.run("document.querySelector('.zoom').innerText")
    click(browser, "Black")
    ground = "getComputedStyle(document.querySelector('.zoom img')).backgroundColor"
    assert browser.run(ground) == "rgb(0, 0, 0)"
    assert browser.run("document.documentElement.scrollWidth") <= width
    escape = {"key": "Escape", "code": "Escape", "windowsVirtualKeyCode": 27}
    browser.call("Input.dispatchKeyEvent", type="keyDown", **escape)
    browser.wait("!document.querySelector('dialog')")
    assert browser.run(f"document.activeElement === {frame}.closest('button')")


def test_many_pictures_are_made_and_the_oldest_are_let_go(browser, server):
    visit(browser, server, f"generate?run={run_id(server, 'vae')}")
    browser.wait("document.querySelectorAll('.side option').length > 1")
    number = "[...document.querySelectorAll('.side input[type=range]')].at(-1)"
    browser.run(f"document.querySelector('.side select').value = '{run_id(server, 'vae')}'")
    browser.run(moved(number, 64))
    before = 0
    for _ in range(4):
        browser.run("document.querySelector('form').requestSubmit()")
        browser.wait("document.querySelector('.sides .quiet[role=status]').innerText"
                     ".startsWith('64 pictures in')")  # fmt: skip
        before = browser.run("document.querySelectorAll('.tile').length")
        browser.run("document.querySelector('.sides .quiet[role=status]').textContent = ''")
    assert before == 200
    sources = "[...document.querySelectorAll('.tile img')].map((e) => e.src)"
    assert browser.run(f"{sources}.every((one) => one.startsWith('blob:'))")
    last = f"const i = new Image(); i.src = {sources}.at(-1); i.decode().then(() => i.width)"
    assert browser.run(f"(() => {{ {last.replace('i.decode', 'return i.decode')} }})()") == 16
