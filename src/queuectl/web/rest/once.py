"""`Idempotency-Key`: a request that adds jobs may be sent again with the same key, and adds them once.

The ids of the new jobs follow from the key, the token and the place in the request. So nothing has to be kept besides
the jobs, the first try and the record of it are one commit, and a second try finds them for as long as they exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from hashlib import blake2b

from starlette.requests import Request

from queuectl.client.facade import Client
from queuectl.domain.errors import Conflict, IdTaken, Invalid
from queuectl.domain.job import Job
from queuectl.domain.selector import Selector
from queuectl.web.rest.operation import visitor_of
from queuectl.wire.requests import JobRequest

HEADER = "Idempotency-Key"
ID_BYTES = 13
REPLAYED = {"Idempotency-Replayed": "true"}
"""The header of an answer to a second try."""


class Once:
    """The key of a request, if it has one. Raises `Invalid`."""

    def __init__(self, request: Request) -> None:
        key = request.headers.get(HEADER)
        self._visitor = visitor_of(request)
        self._key = None if key is None else key.removeprefix('"').removesuffix('"')
        if self._key is not None and not re.fullmatch(r"[\x21-\x7e]{1,255}", self._key):
            raise Invalid(f"{HEADER} must have 1 to 255 visible ASCII characters", "send a random one, such as a UUID")

    def __bool__(self) -> bool:
        return self._key is not None

    def id(self, number: int = 0) -> str:
        """The id of the job at this place of the request."""
        text = f"{self._visitor.token.id}\n{number}\n{self._key}"
        return blake2b(text.encode(), digest_size=ID_BYTES).hexdigest()

    def enqueue(
        self, client: Client, requests: Sequence[JobRequest], add: Callable[[Sequence[JobRequest]], list[Job]]
    ) -> tuple[list[Job], bool]:
        """The jobs that `add` has added, now or at an earlier try, and whether it was an earlier one.

        Raises `Conflict` if the key came with another request.
        """
        named = [each._replace(id=each.id or self.id(at)) for at, each in enumerate(requests)]
        commands = {each.id: each.command for each in named if each.id}
        if found := self._found(client, commands):
            return found, True
        try:
            return add(named), False
        except IdTaken:  # by the same request, which was on its way twice
            if found := self._found(client, commands):
                return found, True
            raise

    def _found(self, client: Client, commands: dict[str, str | tuple[str, ...]]) -> list[Job]:
        """The jobs of an earlier try, in the order of the request."""
        known = {job.id: job for job in client.find(Selector(ids=tuple(commands)))}
        for job in known.values():
            if job.command != commands[job.id] or job.owner != self._visitor.who:
                raise Conflict(
                    f"{HEADER} {self._key!r} was used for another request", "send a new key for a new request"
                )
        return [known[job_id] for job_id in commands if job_id in known]
