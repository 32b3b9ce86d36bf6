"""What is said to a caller whose request is not done, in the words of the OpenAI API."""

from typing import Any

from mezzotint.errors import (
    BusyError,
    ConfigError,
    DataError,
    MezzotintError,
    MissingInputError,
    RefusedError,
    UsageError,
)

FIELDS = {"steps": "num_inference_steps", "guidance": "guidance_scale", "n, seeds": "n"}
STATUS: tuple[tuple[type[MezzotintError], int], ...] = (
    (UsageError, 400),
    (ConfigError, 400),
    (DataError, 409),
    (MissingInputError, 409),
    (RefusedError, 409),
    (BusyError, 409),
)
TYPES = {401: "authentication_error", 403: "permission_error", 503: "server_error"}


class Refusal(Exception):  # noqa: N818 - an answer, not a bug
    """A request that is not done.

    Args:
        status: of HTTP.
        message: what is wrong and what to do, one sentence or two.
        param: the field that is wrong.
        code: one word for programs.
        retry: seconds after which it may work.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str = "invalid_request",
        retry: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.retry = retry

    def as_dict(self) -> dict[str, Any]:
        """For a worker's message."""
        told = {"status": self.status, "message": self.message, "param": self.param}
        return {**told, "code": self.code, "retry": self.retry}

    def body(self) -> dict[str, Any]:
        """For the response."""
        kind = TYPES.get(self.status, "invalid_request_error")
        told = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": told}

    def headers(self) -> dict[str, str]:
        """For the response."""
        return {} if self.retry is None else {"Retry-After": str(self.retry)}


def refusal_of(error: Exception) -> Refusal:
    """The answer for an error met in a worker; it names no path and shows no traceback."""
    if isinstance(error, Refusal):
        return error
    for kind, status in STATUS:
        if isinstance(error, kind):
            where = FIELDS.get(error.where, error.where)
            param = where if where.isidentifier() else None
            said = f"{error.what}; {error.fix}" if error.fix and status == 400 else error.what
            return Refusal(status, said, param, error.code)
    return Refusal(500, "the model failed at this request", code="failed")


def busy(message: str, retry: int = 1) -> Refusal:
    """The server cannot take this request now."""
    return Refusal(503, message, code="unavailable", retry=retry)
