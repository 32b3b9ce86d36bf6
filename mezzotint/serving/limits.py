"""How much one request, one client and all of them together may ask for."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """Bounds that are checked before any work is done or memory is taken.

    Attributes:
        json_bytes: of a request body that is no upload.
        upload_bytes, upload_files: of one upload.
        image_pixels: of one uploaded picture, decoded.
        request_pixels: of all pictures of an upload together.
        images: made by one request.
        steps: of a solver.
        guidance: weight of classifier-free guidance.
        prompt_letters: of a prompt, and of a negative prompt.
        work_seconds: what one request may keep a device busy, as estimated from measured passes.
        queue: requests at work and waiting; the next one is refused.
        client: of these, how many of one client.
        wait_seconds: for an answer, before the request is given up.
        body_seconds: for a request body to arrive.
        header_seconds: for the head of a request to arrive.
        idle_seconds: a connection is kept open without a request.
        headers: of a request.
        data_bytes, data_seconds: of a dropped set of images, and for it to arrive.
        trainings: at work at a time when one more is asked for.
        drain_seconds: for requests at work when the server is told to stop.
    """

    json_bytes: int = 1 << 20
    upload_bytes: int = 20 << 20
    upload_files: int = 8
    image_pixels: int = 50_000_000
    request_pixels: int = 100_000_000
    images: int = 10
    steps: int = 200
    guidance: float = 50.0
    prompt_letters: int = 4000
    work_seconds: float = 60.0
    queue: int = 32
    client: int = 4
    wait_seconds: float = 120.0
    body_seconds: float = 30.0
    header_seconds: float = 10.0
    idle_seconds: float = 15.0
    headers: int = 100
    data_bytes: int = 4 << 30
    data_seconds: float = 3600.0
    trainings: int = 2
    drain_seconds: float = 30.0

    def as_dict(self) -> dict[str, Any]:
        """As ``GET /v1/limits`` shows them."""
        return asdict(self)
