"""How well scores and heat maps find what the folders call bad."""

from mezzotint.detection.layouts import Marks, Tested
from mezzotint.detection.maps import resized_map
from mezzotint.detection.scoring import Scored
from mezzotint.metrics.detecting import PixelTally, auroc, average_precision, f1

PIXELS = ("pixel_auroc", "pixel_aupro")
IMAGES = ("auroc", "average_precision", "f1", "false_alarms", "found")


def measured(
    tested: Tested, scored: Scored, flagged: Marks | None
) -> tuple[dict[str, float], dict[str, str]]:
    """Numbers by name, and why others are missing."""
    numbers, why = _image_numbers(tested, scored, flagged)
    pixel, why_pixel = _pixel_numbers(tested, scored)
    return numbers | pixel, why | why_pixel


def _image_numbers(
    tested: Tested, scored: Scored, flagged: Marks | None
) -> tuple[dict[str, float], dict[str, str]]:
    bad = tested.bad
    if bad is None:
        return {}, dict.fromkeys(IMAGES, tested.left_out["image"])
    numbers, why = {}, {}
    if bad.all() or not bad.any():
        why = dict.fromkeys(IMAGES[:3], "needs good and bad images")
    else:
        numbers["auroc"] = auroc(scored.scores, bad)
        numbers["average_precision"] = average_precision(scored.scores, bad)
    if flagged is None:
        return numbers, why | dict.fromkeys(IMAGES[2:], "there is no threshold")
    if bad.any():
        numbers |= {"f1": f1(flagged, bad), "found": float(flagged[bad].mean())}
    if not bad.all():
        numbers["false_alarms"] = float(flagged[~bad].mean())
    return numbers, {name: text for name, text in why.items() if name not in numbers}


def _pixel_numbers(tested: Tested, scored: Scored) -> tuple[dict[str, float], dict[str, str]]:
    if tested.masks is None:
        return {}, dict.fromkeys(PIXELS, tested.left_out.get("pixel", "there are no masks"))
    if scored.maps is None:
        return {}, dict.fromkeys(PIXELS, "the score has no heat map")
    tally = PixelTally()
    for at, heat in enumerate(scored.maps):
        mask = tested.mask_for(at, heat)
        tally.add(resized_map(heat, mask.shape), mask)
    return {"pixel_auroc": tally.auroc(), "pixel_aupro": tally.aupro()}, {}
