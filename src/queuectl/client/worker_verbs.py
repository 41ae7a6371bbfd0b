"""Use cases on live workers: one typed line each, the same on a store and over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queuectl.client.operation import Operation, T
    from queuectl.client.restarting import Running
    from queuectl.client.setting import WorkerNow


class WorkerVerbs:
    """Methods of `Client` and `RemoteClient`, which define `do`."""

    def do(self, operation: Operation[T], **arguments: Any) -> T:
        """Carries out a plain use case."""
        raise NotImplementedError

    def set_worker(
        self, name: str, *, count: int | None = None, queues: Sequence[str] = (), not_queues: Sequence[str] = (),
        all_queues: bool = False,
    ) -> WorkerNow:  # fmt: skip
        """Has a live worker take other slots or queues; returns once it has. Its commands go on."""
        from queuectl.client import setting

        queues = [queues] if isinstance(queues, str) else queues  # a text is a sequence of texts too
        not_queues = [not_queues] if isinstance(not_queues, str) else not_queues
        return self.do(setting.SET, name=name, count=count, queues=queues, not_queues=not_queues, all_queues=all_queues)

    def restart_workers(self, names: str | Sequence[str] | None = None, *, all_hosts: bool = False) -> list[Running]:
        """Has workers restart with the installed release: all of this host, or of all hosts, or those named (GLOBs
        work). Returns once they serve again; their commands go on."""
        from queuectl.client import restarting

        names = [names] if isinstance(names, str) else names
        return self.do(restarting.RESTART_ROW, names=names, all_hosts=all_hosts)

    def reload_workers(self, names: str | Sequence[str] | None = None, *, all_hosts: bool = False) -> list[Running]:
        """Has workers read settings and secrets again. Returns once they have."""
        from queuectl.client import restarting

        names = [names] if isinstance(names, str) else names
        return self.do(restarting.RELOAD_ROW, names=names, all_hosts=all_hosts)
