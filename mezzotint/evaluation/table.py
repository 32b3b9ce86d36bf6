"""An evaluation as text."""

from collections import defaultdict
from collections.abc import Iterable

from mezzotint.evaluation.values import Evaluation, Value


def tabulated(found: Evaluation) -> str:
    """One line a number; below, what looked at the images and what was left out, with reasons."""
    lines = [_line(name, value) for name, value in found.items()]
    return "\n".join([*lines, *_extractors(found.values()), *_reasons(found)])


def _line(name: str, value: Value) -> str:
    interval = "" if value.low is None else f"[{value.low:.5g}, {value.high:.5g}]"
    real = "" if value.floor is None else f"real {value.floor:.4g}"
    note = ", ".join(part for part in (f"n={value.n}", value.note) if part)
    unit = value.unit
    return f"{name:16} {value.value:10.5g} {unit:28} {interval:22} {real:14} {note}".rstrip()


def _extractors(values: Iterable[Value]) -> list[str]:
    used = {(value.features, value.resize) for value in values if value.features}
    return [f"features: {name}, resize: {resize}" for name, resize in sorted(used)]


def _reasons(found: Evaluation) -> list[str]:
    names: dict[str, list[str]] = defaultdict(list)
    for name, why in found.left_out.items():
        names[why].append(name)
    return [f"left out: {', '.join(names[why])}: {why}" for why in names]
