"""All errors: each has a message, a hint, a code, an exit code and an HTTP status."""

from __future__ import annotations


class QueuectlError(Exception):
    """A failure a person can act on.

    `message` is one line: what is wrong, with the value. `hint` is one line: what would be right (may be empty). It
    names keys as the API does, such as `on_conflict=ignore`; the command line shows its options instead. `code` is a
    stable word for programs, `exit_code` the process's exit code, `http_status` the status of an HTTP answer.
    """

    code = "failed"
    exit_code = 1
    http_status = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(hint)  # shown in tracebacks

    def say(self, message: str, hint: str) -> None:
        """Changes its words, not its kind."""
        self.args = (message,)
        self.message, self.hint = message, hint
        self.__notes__ = [hint] if hint else []

    def hint_and(self, more: str) -> str:
        """Its hint, if it has one, and another."""
        return f"{self.hint}; {more}" if self.hint else more


class OperationFailed(QueuectlError):
    """The request was valid but could not be carried out."""


class TimedOut(OperationFailed):
    """The time given for waiting is over."""

    code = "timeout"
    http_status = 504


class SystemFailure(OperationFailed):
    """The operating system refused: a file, the output, memory."""

    code = "system"


class Invalid(QueuectlError):
    """The request is wrong: bad usage or bad input."""

    code = "invalid"
    exit_code = 2
    http_status = 400


def not_an_id(ref: object) -> Invalid:
    """The error for what a program names a job by: it may be the job itself, or its number."""
    return Invalid(f"a job is named by its id, a text, not by a value of type {type(ref).__name__}", "give job.id")


class NotFound(QueuectlError):
    """The thing named does not exist."""

    code = "not_found"
    exit_code = 3
    http_status = 404


class Conflict(QueuectlError):
    """The thing exists, but its state does not allow the request."""

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


class IdTwice(Conflict):
    """Two new jobs that are added together have the same `id`."""

    def __init__(self, id: str) -> None:
        super().__init__(f"id {id} comes twice", "each job needs an id of its own, or none")
        self.id = id

    def __reduce__(self) -> tuple[type[IdTwice], tuple[str]]:
        return IdTwice, (self.id,)


KEY_HINT = "keep that one with on_conflict=ignore, or change it with on_conflict=replace"
FREE_HINT = "its key is free once its unique-for is over, or it is deleted"
KEPT_KEY_HINT = f"keep that one with on_conflict=ignore; {FREE_HINT}"
"""Where the job that holds the key has finished."""


class KeyTaken(Conflict):
    """A job holds the unique `key` of a new one, or of job `again`, which is to run again. `kept`: the holder has
    finished."""

    def __init__(self, key: str, holder: str, again: str | None = None, kept: bool = False) -> None:
        told = f"unique key {key!r} is taken by job {holder}"
        if again is None:
            super().__init__(told, KEPT_KEY_HINT if kept else KEY_HINT)
        else:
            hint = FREE_HINT if kept else "wait for that one's end, or delete it"
            super().__init__(f"job {again} cannot run again: its {told}", hint)
        self.key, self.holder, self.again, self.kept = key, holder, again, kept

    def __reduce__(self) -> tuple[type[KeyTaken], tuple[str, str, str | None, bool]]:
        return KeyTaken, (self.key, self.holder, self.again, self.kept)


class KeyTwice(Conflict):
    """Two new jobs that are added together have the same unique `key`."""

    def __init__(self, key: str) -> None:
        super().__init__(f"unique key {key!r} comes twice", "leave one out, or use on_conflict=ignore")
        self.key = key

    def __reduce__(self) -> tuple[type[KeyTwice], tuple[str]]:
        return KeyTwice, (self.key,)


class StoreUnavailable(QueuectlError):
    """The store cannot be reached. Nothing was changed, unless it is an `OutcomeUnknown`."""

    code = "store_unavailable"
    exit_code = 5
    http_status = 503


class StoreLost(StoreUnavailable):
    """The store was removed, has moved, or is damaged."""

    code = "store_lost"


class NoStore(StoreUnavailable):
    """The store does not exist, and the command makes none."""


def no_store(place: str) -> NoStore:
    """The error for a store at this place."""
    return NoStore(f"there is no store {place}", "check the name; the first job makes it: queuectl enqueue -- CMD")


class StoreBusy(StoreUnavailable):
    """Another process holds the store's write lock. Try again later."""

    code = "store_busy"


class DiskFull(StoreUnavailable):
    """The disk of the store's file is full. Nothing was changed."""

    code = "disk_full"


class OutcomeUnknown(StoreUnavailable):
    """It is unknown whether a change was made: the commit got no answer."""

    code = "outcome_unknown"


def error_of(code: str, message: str, hint: str = "") -> QueuectlError:
    """The error with this code from another process. An unknown code becomes `OperationFailed` and is kept."""
    kinds = (
        Invalid, NotFound, Conflict, StoreBusy, StoreUnavailable, StoreLost, DiskFull, OutcomeUnknown, TimedOut,
        SystemFailure,
    )  # fmt: skip
    error = next((kind for kind in kinds if kind.code == code), OperationFailed)(message, hint)
    error.code = code
    return error
