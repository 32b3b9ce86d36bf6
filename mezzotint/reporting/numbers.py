"""Numbers as a reader meets them."""


def short(number: float | None) -> str:
    """``0.0123``, ``12.3`` or ``1,234``: three digits, or the whole part; nothing for None."""
    if number is None:
        return ""
    if abs(number) >= 100 or number == int(number):
        return f"{number:,.0f}"
    return f"{number:.3g}"


def spell_seconds(seconds: float | None) -> str:
    """``45 s``, ``10 min``, ``1 h 30 min``; nothing for None."""
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{short(round(seconds, 1))} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
