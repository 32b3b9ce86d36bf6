"""The README's Python runs, and its commands are commands."""

import re
import shlex
from pathlib import Path

import pytest
import tyro

from mezzotint import cli

ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path, language):
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL)


def commands():
    lines = [line for path in TEXTS for block in blocks(path, "") for line in block.splitlines()]
    return [line.partition("#")[0].strip() for line in lines if line.startswith("mezzotint ")]


def test_python_example_runs(tmp_path, monkeypatch):
    (example,) = blocks(ROOT / "README.md", "python")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(example.replace('"20k"', '"256"'), "README.md", "exec"), names)
    assert names["x"].shape == (16, 1, 32, 32)
    assert names["model"].kind == "vae"


@pytest.mark.parametrize("line", commands())
def test_commands_parse(line):
    words = cli.spread_assignments(shlex.split(line)[1:])
    assert tyro.cli(cli.Command, args=words, config=cli._CONFIG)


def test_links_lead_somewhere():
    for path in TEXTS:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
