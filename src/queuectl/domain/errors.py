"""The one error tree. Every error says what is wrong, what would be right, and how it ends a program."""

from __future__ import annotations


class QueuectlError(Exception):
    """A failure a person can act on.

    `message` is one line: what is wrong, with which value. `hint` is one line: what would be
    right (may be empty). `code` is the stable word for machines, `exit_code` the process's exit
    status and `http_status` the status of an HTTP answer.
    """

    code = "failed"
    exit_code = 1
    http_status = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(hint)  # which a traceback shows


class OperationFailed(QueuectlError):
    """The request was right, but could not be carried out."""


class TimedOut(OperationFailed):
    """What was waited for has not come true in the time given."""

    code = "timeout"
    http_status = 504


class SystemFailure(OperationFailed):
    """The operating system refused: a file, the output, memory."""

    code = "system"


class Invalid(QueuectlError):
    """The request itself is wrong: bad words, bad values, bad input."""

    code = "invalid"
    exit_code = 2
    http_status = 400


class NotFound(QueuectlError):
    """The thing named does not exist."""

    code = "not_found"
    exit_code = 3
    http_status = 404


class Conflict(QueuectlError):
    """The thing exists, but in a state that does not allow the request."""

    code = "conflict"
    exit_code = 4
    http_status = 409


class IdTaken(Conflict):
    """The `id` of a new job belongs to another one."""

    def __init__(self, id: str) -> None:
        super().__init__(f"job {id} exists already", "choose another id, or leave it out to get a new one")
        self.id = id

    def __reduce__(self) -> tuple[type[IdTaken], tuple[str]]:
        return IdTaken, (self.id,)


class StoreUnavailable(QueuectlError):
    """The store cannot be reached or is damaged. Nothing was changed, unless it is an `OutcomeUnknown`."""

    code = "store_unavailable"
    exit_code = 5
    http_status = 503


class StoreLost(StoreUnavailable):
    """The store will never answer again as it is: it was removed, has moved, or is damaged."""


def no_store(place: str) -> StoreUnavailable:
    """What was named is not there, and only looked at."""
    return StoreUnavailable(f"there is no store {place}", "check the name; the first job makes it: queuectl enqueue")


class StoreBusy(StoreUnavailable):
    """Another process holds the store's write lock. Trying again later is right."""

    code = "store_busy"


class DiskFull(StoreUnavailable):
    """The disk that the store's file is on has no room left. Nothing was changed."""

    code = "disk_full"


class OutcomeUnknown(StoreUnavailable):
    """The store did not say whether it made a change: no answer came to its commit."""

    code = "outcome_unknown"


def error_of(code: str, message: str, hint: str = "") -> QueuectlError:
    """The error that another process told of by its code; one unknown here just failed, and keeps its code."""
    kinds = (Invalid, NotFound, Conflict, StoreBusy, StoreUnavailable, OutcomeUnknown, TimedOut, SystemFailure)
    error = next((kind for kind in kinds if kind.code == code), OperationFailed)(message, hint)
    error.code = code
    return error
