"""queuectl: a durable background job queue for shell commands."""

from __future__ import annotations

from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.client.library import Client
    from queuectl.domain.errors import Conflict, Invalid, NotFound, OperationFailed, QueuectlError, StoreUnavailable
    from queuectl.domain.job import Job, JobState
    from queuectl.domain.selector import Selector

__version__ = "0.2.0.dev2"

__all__ = [
    "Client", "Conflict", "Invalid", "Job", "JobState", "NotFound", "OperationFailed", "QueuectlError", "Selector",
    "StoreUnavailable", "__version__",
]  # fmt: skip

_WHERE = {"Client": "client.library", "Job": "domain.job", "JobState": "domain.job", "Selector": "domain.selector"}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    """Loads a public name at its first use: the command line starts without most of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WHERE.get(name, 'domain.errors')}"), name)
