"""An evaluation as text."""

from collections import defaultdict
from collections.abc import Iterable

from mezzotint.evaluation.values import Evaluation, Value

HEAD = ("", "value", "", "95% interval", "real images", "")


def tabulated(found: Evaluation) -> str:
    """One line a number; below, what is wrong, what looked at the images and what was left out."""
    rows = [HEAD, *(_cells(name, value) for name, value in found.items())]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
    lines = [_line(row, widths) for row in rows]
    return "\n".join([*lines, *_remarks(found), *_extractors(found.values()), *_reasons(found)])


def _cells(name: str, value: Value) -> tuple[str, ...]:
    interval = "" if value.low is None else f"[{_short(value.low)}, {_short(value.high)}]"
    real = "" if value.floor is None else _short(value.floor)
    note = ", ".join(part for part in (f"n={value.n}", value.note) if part)
    return name, _short(value.value), value.unit, interval, real, note


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    """Names and words to the left, numbers to the right."""
    name, value, unit, interval, real, note = zip(cells, widths, strict=True)
    left = [f"{text:<{width}}" for text, width in (unit, interval)]
    right = [f"{text:>{width}}" for text, width in (value, real)]
    line = f"{name[0]:<{name[1]}}  {right[0]}  {left[0]}  {left[1]}  {right[1]}  {note[0]}"
    return line.rstrip()


def _short(number: float | None) -> str:
    if number is None:
        return ""
    return f"{number:,.0f}" if number == int(number) else f"{number:.4g}"


def _remarks(found: Evaluation) -> list[str]:
    return [f"! {name}: {said}" for name, said in found.remarks.items()]


def _extractors(values: Iterable[Value]) -> list[str]:
    used = {(value.features, value.resize) for value in values if value.features}
    return [f"features: {name}, resize: {resize}" for name, resize in sorted(used)]


def _reasons(found: Evaluation) -> list[str]:
    names: dict[str, list[str]] = defaultdict(list)
    for name, why in found.left_out.items():
        names[why].append(name)
    return [f"left out: {', '.join(names[why])}: {why}" for why in names]
