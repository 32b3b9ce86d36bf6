"""The import table: every module has a place, and imports point to lower floors only.

A group is a set of modules that stand on one floor. A module may import groups on lower floors; of
its own group only where the group is open; never a sibling group on the same floor, and never
what ``NEVER`` names. ``docs/architecture.md`` shows the same table.
"""

import ast
import functools
import re
import statistics
from dataclasses import dataclass
from pathlib import Path

import pytest

import mezzotint

PACKAGE = Path(mezzotint.__file__).parent
LONGEST_FILE, MEDIAN_FUNCTION, LONG_FUNCTION = 600, 10, 30


@dataclass(frozen=True)
class Group:
    """Modules of one floor; a name ending in ``.*`` stands for a package and all in it."""

    floor: float
    modules: str
    open: bool = False


TABLE = {
    # 0: what knows of no image set, no network and no run
    "basics": Group(0.0, "errors progress"),
    "pixels": Group(0.1, "imaging imaging.*", open=True),
    "options": Group(0.1, "config"),
    "randomness": Group(0.1, "seeds"),
    "storage": Group(0.1, "storage storage.files storage.readers storage.faults", open=True),
    "pictures": Group(0.2, "images figures"),
    # 1: data, networks and numbers; none of them knows the others
    "data": Group(1.0, "data.*", open=True),
    "nets": Group(1.0, "nets.*", open=True),
    "metrics": Group(1.0, "metrics.*", open=True),
    "numbers": Group(
        1.0,
        "corruptions likelihoods similarity training.averaging training.profiles guidance noise"
        " predictions solvers stepping adversarial augmentations variational",
        open=True,
    ),
    "text": Group(1.0, "text text.*", open=True),
    "weights": Group(1.0, "storage.weights storage.scanning", open=True),
    "optimisation": Group(
        1.0,
        "training training.recipe training.muon training.optimisers training.schedules"
        " training.few_images training.signals",
        open=True,
    ),
    # 1.5: networks that look at images and know the data they are for
    "features": Group(1.5, "features features.*", open=True),
    # 2: families: base, what some share, then each on its own
    "family": Group(2.0, "families.base families.capabilities"),
    "shared": Group(
        2.1,
        "families families.coding families.consistency families.diffusing families.conditions"
        " families.groups families.contending families.inverting families.kl_coding"
        " families.teaching",
    ),
    "shared care": Group(2.15, "families.steadying"),
    "shared texts": Group(
        2.15, "families.prompting families.piping families.fitting families.reading", open=True
    ),
    "shared walks": Group(
        2.15,
        "families.guiding families.objectives families.walking families.making",
        open=True,
    ),
    "families": Group(2.2, "families.*"),
    "joined families": Group(2.3, "families.text_to_image families.pretrained"),
    "tuned families": Group(2.4, "families.tuning"),
    # 3: a run: its folder, its batches, its loop
    "checkpoints": Group(3.0, "runs runs.checkpoint runs.snapshots runs.best"),
    "machinery": Group(
        3.0,
        "training.devices training.feeding training.recording training.records training.seats"
        " training.soundness",
        open=True,
    ),
    "runs": Group(3.1, "runs.folder"),
    "loop": Group(3.1, "training.loop"),
    "pipelines": Group(
        3.1,
        "runs.hub runs.pipelines runs.schedulers runs.text_pipelines runs.safe_pipelines"
        " runs.pretrained runs.tuned",
        open=True,
    ),
    "loading": Group(3.2, "runs.loading"),
    "forms": Group(3.3, "runs.forms"),
    # 4: what is made of a run
    "views": Group(
        4.0,
        "training.previews training.curves training.cards training.trackers"
        " training.history training.plans"
        " training.watching training.models training.caching",
    ),
    "looks": Group(4.05, "training.evaluations"),
    "evaluation": Group(4.0, "evaluation evaluation.*", open=True),
    "detection": Group(4.0, "detection detection.*", open=True),
    "inspection": Group(4.1, "inspection inspection.*", open=True),
    "work": Group(4.1, "training.session describing"),
    "comparison": Group(4.1, "comparison comparison.*", open=True),
    "reporting": Group(4.2, "reporting reporting.*", open=True),
    # 5 and 6: what a user calls
    "api": Group(5.0, "api api.*", open=True),
    "serving": Group(5.5, "serving serving.*", open=True),
    "facts": Group(5.9, "facts"),
    "console": Group(6.0, "console"),
    "arguments": Group(6.0, "arguments"),
    "commands": Group(6.0, "commands"),
    "command line": Group(6.1, "cli"),
    "entry": Group(6.2, "__main__"),
    "package": Group(6.2, "mezzotint"),
}
PIXEL_SIDE = ("data", "metrics", "features", "pictures", "pixels", "optimisation")
NEVER = {
    # a family sees tensors and draws: no files of images, no loop, no metrics
    "family": PIXEL_SIDE,
    "shared": PIXEL_SIDE,
    "shared walks": PIXEL_SIDE,
    "shared care": PIXEL_SIDE,
    "shared texts": PIXEL_SIDE,
    "families": PIXEL_SIDE,
    "joined families": PIXEL_SIDE,
    "tuned families": PIXEL_SIDE,
    # the shells call the api; below it only what reads words and prints lines
    "commands": tuple(name for name, group in TABLE.items() if 1 <= group.floor < 5),
    "command line": tuple(name for name, group in TABLE.items() if 1 <= group.floor <= 5),
}
LIGHT = ("mezzotint", "__main__", "cli", "commands", "console", "errors", "config", "progress")
LIGHT += ("arguments", "facts", "storage", "storage.faults", "storage.files", "storage.readers")
HEAVY = {"torch", "numpy", "PIL", "sklearn", "matplotlib", "rich", "accelerate", "datasets", "yaml"}
ALWAYS_LAZY = {"sklearn", "matplotlib", "rich", "datasets", "tensorboard", "yaml", "jinja2"}
ALWAYS_LAZY |= {"tokenizers", "transformers", "peft"}


@dataclass(frozen=True)
class Import:
    """One import statement: the module's full name and whether it runs when the file is loaded."""

    target: str
    at_load: bool


@functools.cache
def modules() -> dict[str, Path]:
    """Short name of every module -> its file; the package itself is ``mezzotint``."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name or "mezzotint"] = path
    return found


@functools.cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


def _is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def _statements(node: ast.AST, at_load: bool = True) -> list[tuple[ast.stmt, bool]]:
    """Import statements below a node, without those for type checkers."""
    found: list[tuple[ast.stmt, bool]] = []
    for child in ast.iter_child_nodes(node):
        if _is_typing_only(child):
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            found.append((child, at_load))
        runs_later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        found += _statements(child, at_load and not runs_later)
    return found


def _targets(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    assert isinstance(statement, ast.ImportFrom)
    assert statement.level == 0, f"relative import in line {statement.lineno}"
    joined = [f"{statement.module}.{alias.name}" for alias in statement.names]
    ours = {full(name) for name in modules()}
    return [name if name in ours else str(statement.module) for name in joined]


def full(name: str) -> str:
    return name if name == "mezzotint" else f"mezzotint.{name}"


def short(target: str) -> str:
    return target.removeprefix("mezzotint.")


@functools.cache
def imports(name: str) -> tuple[Import, ...]:
    return tuple(
        Import(target, at_load)
        for statement, at_load in _statements(tree(name))
        for target in _targets(statement)
    )


def our_imports(name: str) -> set[str]:
    targets = {found.target for found in imports(name)}
    return {short(target) for target in targets if target.split(".")[0] == "mezzotint"}


@functools.cache
def group_of(name: str) -> str | None:
    """The group that lists a module by name, or the one that lists its package."""
    listed = {module: key for key, group in TABLE.items() for module in group.modules.split()}
    package = name if f"{name}.*" in listed else name.rpartition(".")[0]
    return listed.get(name, listed.get(f"{package}.*"))


def complaint(name: str, target: str) -> str:
    """What is wrong with one import, or nothing."""
    mine, theirs = group_of(name), group_of(target)
    if mine is None or theirs is None:
        return f"{name} -> {target}: not in the table"
    if theirs in NEVER.get(mine, ()):
        return f"{name} -> {target}: {mine} never sees {theirs}"
    lower = TABLE[theirs].floor < TABLE[mine].floor
    if lower or (mine == theirs and TABLE[mine].open):
        return ""
    return f"{name} -> {target}: {mine} ({TABLE[mine].floor}) above {theirs}"


def test_every_module_is_in_the_table() -> None:
    assert [name for name in modules() if group_of(name) is None] == []


def test_the_table_names_no_module_that_is_gone() -> None:
    listed = {name for group in TABLE.values() for name in group.modules.split()}
    gone = {name for name in listed if name.removesuffix(".*") not in modules()}
    assert gone == set()


def test_no_module_is_in_two_groups() -> None:
    listed = [name for group in TABLE.values() for name in group.modules.split()]
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("name", modules())
def test_imports_point_to_lower_floors(name: str) -> None:
    found = [complaint(name, target) for target in sorted(our_imports(name))]
    assert [text for text in found if text] == []


@pytest.mark.parametrize("name", LIGHT)
def test_what_starts_a_command_imports_nothing_heavy(name: str) -> None:
    """Nor anything of ours that does: the list is closed under imports."""
    at_load = {found.target for found in imports(name) if found.at_load}
    assert not {target.split(".")[0] for target in at_load} & HEAVY
    ours = {short(target) for target in at_load if target.split(".")[0] == "mezzotint"}
    assert ours <= set(LIGHT)


@pytest.mark.parametrize("name", modules())
def test_rare_packages_are_imported_where_they_are_used(name: str) -> None:
    at_load = {found.target.split(".")[0] for found in imports(name) if found.at_load}
    assert not at_load & ALWAYS_LAZY


def test_the_rules_see_a_wrong_import() -> None:
    """The checks bite: known wrong imports are complained about."""
    wrong = [("nets.coders", "data.store"), ("families.vae", "families.autoencoder")]
    wrong += [("families.vae", "data.dataset"), ("config", "api"), ("cli", "training")]
    wrong += [("cli", "api"), ("data.store", "families.base"), ("metrics", "nets.layers")]
    assert all(complaint(*pair) for pair in wrong)
    source = "if TYPE_CHECKING:\n    import a\ndef f():\n    import b\nimport c"
    found = [(_targets(node)[0], load) for node, load in _statements(ast.parse(source))]
    assert found == [("b", False), ("c", True)]


@pytest.mark.parametrize("name", modules())
def test_a_file_fits_in_one_view(name: str) -> None:
    lines = modules()[name].read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST_FILE


def function_lengths() -> dict[str, int]:
    """Lines of every function without its docstring, signature included."""
    return {
        f"{name}:{node.lineno} {node.name}": _length(node)
        for name in modules()
        for node in ast.walk(tree(name))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node) is None:
        return lines
    first = node.body[0]
    return lines - ((first.end_lineno or first.lineno) - first.lineno + 1)


def test_functions_are_small() -> None:
    lengths = function_lengths()
    ordered = sorted(lengths.values())
    assert statistics.median(ordered) <= MEDIAN_FUNCTION
    assert ordered[int(0.95 * len(ordered))] <= LONG_FUNCTION
    assert {name: length for name, length in lengths.items() if length > 40} == {}


def test_the_documentation_shows_the_same_table() -> None:
    page = PACKAGE.parent / "docs" / "architecture.md"
    if not page.is_file():
        pytest.skip("not a source tree")
    text = page.read_text(encoding="utf-8")
    named = {name.removesuffix(".*") for g in TABLE.values() for name in g.modules.split()}
    words = set(re.findall(r"[\w.]+", text))
    missing = {name for name in named if name not in words}
    assert missing == set()


@pytest.mark.parametrize("name", sorted(modules()))
def test_a_legend_names_its_place(name: str) -> None:
    """Left to itself, Matplotlib searches for the place, and warns where that takes a second."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".legend"):
            assert "loc" in {word.arg for word in node.keywords}, f"{name}, line {node.lineno}"
