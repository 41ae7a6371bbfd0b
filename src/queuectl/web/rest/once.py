"""`Idempotency-Key`: a request that adds jobs may be sent again with the same key, and adds them once.

The ids of the new jobs begin with a digest of the token and the key, and end with one of the whole request and their
place in it. So nothing has to be kept besides the jobs, the first try and the record of it are one commit, a second try
finds them for as long as they exist, and another request with the same key is told apart.
"""

from __future__ import annotations

import json
import re
from base64 import b32encode
from collections.abc import Callable, Sequence
from hashlib import blake2b
from threading import Lock

from starlette.requests import Request

from queuectl.client.facade import Client
from queuectl.domain.errors import Conflict, IdTaken, Invalid, KeyTaken
from queuectl.domain.job import Job
from queuectl.domain.selector import Selector
from queuectl.typed import Any
from queuectl.web.rest.operation import visitor_of
from queuectl.wire.requests import JobRequest

HEADER = "Idempotency-Key"
DIGEST_BYTES = 8
REPLAYED = {"Idempotency-Replayed": "true"}
"""The header of an answer to a second try."""

_turns = tuple(Lock() for _ in range(64))
"""Requests of one of these wait for each other: among them are all with the same key."""

Add = Callable[[Sequence[JobRequest]], list[Job]]


class Once:
    """The key of a request, if it has one. Raises `Invalid`."""

    def __init__(self, request: Request) -> None:
        key = request.headers.get(HEADER)
        self._visitor = visitor_of(request)
        self._path = request.url.path
        self._key = None if key is None else key.removeprefix('"').removesuffix('"')
        if self._key is not None and not re.fullmatch(r"[\x21-\x7e]{1,255}", self._key):
            raise Invalid(f"{HEADER} must have 1 to 255 visible ASCII characters", "send a random one, such as a UUID")

    def __bool__(self) -> bool:
        return self._key is not None

    def enqueue(
        self, client: Client, document: Any, requests: Sequence[JobRequest], add: Add
    ) -> tuple[list[Job], bool]:
        """The jobs that `add` has added, now or at an earlier try, and whether it was an earlier one.

        `document` is the body, of which the requests are. Raises `Conflict` if the key came with another request.
        """
        named = self._named(document, requests)
        with _turns[hash(self._prefix) % len(_turns)]:  # requests with one key that come at once
            try:
                return self._made(client, requests, named, add)
            except (IdTaken, KeyTaken):  # by the same request, if it came at once to another server
                return self._made(client, requests, named, add)

    def _made(
        self, client: Client, requests: Sequence[JobRequest], named: Sequence[JobRequest], add: Add
    ) -> tuple[list[Job], bool]:
        again = self._again(client, requests, named, add)
        return (add(named), False) if again is None else (again, True)

    @property
    def _prefix(self) -> str:
        """How the ids of this key's jobs begin."""
        return _digest(f"{self._visitor.token.id}\n{self._key}")

    def _named(self, document: Any, requests: Sequence[JobRequest]) -> list[JobRequest]:
        """The requests, each with an id."""
        prefix, whole = self._prefix, _digest(json.dumps([self._path, document], sort_keys=True))
        return [
            each._replace(id=each.id or f"{prefix}{_digest(f'{whole} {place}')}") for place, each in enumerate(requests)
        ]

    def _again(
        self, client: Client, requests: Sequence[JobRequest], named: Sequence[JobRequest], add: Add
    ) -> list[Job] | None:
        """The jobs of an earlier try, in the order of the request; None if there was none.

        A job that a unique key kept out leaves no trace under the key, and is decided again.
        """
        ids = [str(each.id) for each in named]
        ours = {job.id: job for job in client.beginning(self._prefix, len(ids) + 1)}
        if not ours.keys() <= set(ids):
            raise Conflict(f"{HEADER} {self._key!r} was used for another request", "send a new key for a new request")
        own = {str(each.id): each for each in requests if each.id is not None}
        theirs = {job.id: job for job in client.find(Selector(ids=tuple(own)))} if own else {}
        if not ours and not (_may_all_be_out(requests) and self._are_of(own, theirs)):
            return None
        known = ours | theirs
        open_ = [each for each in named if each.id not in known and each.columns.get("unique_key")]
        known |= {str(each.id): job for each, job in zip(open_, add(open_) if open_ else [], strict=True)}
        return [known[job_id] for job_id in ids if job_id in known]

    def _are_of(self, own: dict[str, JobRequest], theirs: dict[str, Job]) -> bool:
        """Whether all jobs with ids of their own are there, as this request would have made them."""
        return bool(own) and all(
            (job := theirs.get(job_id)) is not None and job.command == each.command and job.owner == self._visitor.who
            for job_id, each in own.items()
        )


def _may_all_be_out(requests: Sequence[JobRequest]) -> bool:
    """Whether no job of this request has to have an id by the key: each has its own, or a unique key."""
    return all(each.id is not None or each.columns.get("unique_key") for each in requests)


def _digest(text: str) -> str:
    """Thirteen characters that ids may have."""
    return b32encode(blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()).decode().rstrip("=").lower()
