"""A checkup as text for a terminal."""

import io

from mezzotint.data.doctor_report import Checkup, Problem

_SHOWN = 3  # examples of a problem
_NAMED = 6  # kinds of a count that are listed


def table(checkup: Checkup, width: int = 80) -> str:
    """The facts, then the problems with examples and what to do.

    Args:
        checkup: the result of a check.
        width: columns of the terminal.

    Returns:
        Plain text of ASCII lines and the names as they are; no colours, no final line break.
    """
    from rich.console import Console

    page = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    page.print(_facts(checkup))
    page.print()
    if checkup.problems:
        page.print(_problems(checkup.problems))
    page.print(_verdict(checkup), markup=False, highlight=False)
    text = page.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines())


def _facts(checkup: Checkup) -> object:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for title, value in _rows(checkup):
        if value:
            grid.add_row(Text(title), Text(value))
    return grid


def _rows(checkup: Checkup) -> list[tuple[str, str]]:
    return [
        ("data", checkup.spec),
        ("images", f"{checkup.usable:,} of {checkup.total:,} can be read"),
        ("formats", _listed(checkup.formats)),
        ("modes", _listed(checkup.modes)),
        ("bits", _listed(checkup.bits)),
        ("sizes", _sizes(checkup)),
        ("alike", _alike(checkup)),
        ("splits", _listed(checkup.splits)),
        ("classes", _listed(checkup.classes)),
        ("captions", _captions(checkup)),
        ("trains at", _form(checkup)),
    ]


def _form(checkup: Checkup) -> str:
    if checkup.suggested_size is None:
        return ""
    height, width = checkup.suggested_size
    in_colour_files = any(problem.code == "grey-as-colour" for problem in checkup.problems)
    grey = checkup.suggested_channels == 1 and not in_colour_files
    return f"{width}x{height}, {'grey' if grey else 'RGB'}"


def _listed(counts: dict[str, int]) -> str:
    shown = [f"{name} {count:,}" for name, count in list(counts.items())[:_NAMED]]
    rest = len(counts) - len(shown)
    return ", ".join([*shown, f"{rest:,} more"] if rest else shown)


def _sizes(checkup: Checkup) -> str:
    sizes = checkup.sizes
    if sizes.distinct <= 1:
        return next(iter(sizes.common), "")
    sides = {"width": sizes.width, "height": sizes.height}
    spans = [f"{name} {side.least}..{side.most}" for name, side in sides.items()]
    return f"{sizes.distinct:,} different, {', '.join(spans)}, median side {sizes.short.median}"


def _alike(checkup: Checkup) -> str:
    exact, near = len(checkup.duplicates), len(checkup.near_duplicates)
    return f"{exact:,} sets of exact copies, {near:,} of near ones" if exact or near else ""


def _captions(checkup: Checkup) -> str:
    captions = checkup.captions
    if not captions.count:
        return ""
    return (
        f"{captions.count:,}, median {captions.median_length} characters, "
        f"{captions.repeated:.0%} not unique"
    )


def _problems(problems: tuple[Problem, ...]) -> object:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(overflow="fold")
    for problem in problems:
        grid.add_row(problem.severity, f"{problem.count:,}", Text(_text(problem)))
    return grid


def _text(problem: Problem) -> str:
    more = problem.count - _SHOWN
    names = [*problem.examples[:_SHOWN], *([f"{more:,} more"] if more > 0 else [])]
    cases = [f"- {name}" for name in names]
    return "\n".join([f"{problem.what} [{problem.code}]", *cases, f"to do: {problem.fix}", ""])


def _verdict(checkup: Checkup) -> str:
    kinds = [problem.severity for problem in checkup.problems]
    if not kinds:
        return "nothing is wrong"
    parts = [(kind, kinds.count(kind)) for kind in ("error", "warning", "note")]
    return ", ".join(f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in parts if n)
