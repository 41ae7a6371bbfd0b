"""Every operation of the API under generated requests, right ones and wrong ones, held to the OpenAPI document:

python -m tests.web.fuzz [--examples 200] [--seed N]

The default test run tries one right and one wrong request an operation.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from queuectl.domain.selector import Selector
from tests.web.service import Service, serving
from tests.workshop import until

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance, unsupported_method,
]  # fmt: skip
KNOWN = ("pending", "held", "cancelled")
"""Jobs that are there; ids drawn at random would hardly ever meet one."""
STARTS_WORKERS = "POST /api/v1/workers"
STREAM_S = 0.05
"""Streams end after so long, so that they can be fuzzed like everything else."""


HEADERS = (
    "Accept", "Range", "Content-Type", "Cookie", "Origin", "Accept-Encoding", "If-None-Match", "Sec-Fetch-Site",
    "Authorization", "Host", "X-Forwarded-For",
)  # fmt: skip
ABOUT_THE_CONNECTION = frozenset({"content-length", "connection", "transfer-encoding", "expect"})
"""With these a client would only confuse itself; `test_guard.py` sends them raw."""


def furnish(service: Service) -> None:
    """Jobs in several states, and a setting, whatever has become of those of before."""
    service.queue.delete(KNOWN)
    given = {"command": "true", "max_retries": 0, "tags": ["a"], "queue": "0"}
    made = service.full.post("/api/v1/jobs", json=[{**given, "id": each, "held": each == "held"} for each in KNOWN])
    assert made.status_code == 201, made.text
    service.queue.cancel(["cancelled"])
    service.queue.set_setting("timeout", "1h")


def without_jobs(service: Service) -> None:
    """No job is left that a worker could run: nobody knows what random commands would do here."""
    service.queue.delete([job.id for job, _ in service.queue.each(Selector())])


def without_workers(service: Service) -> None:
    """What has been started is stopped."""
    if service.queue.workers():
        service.queue.ask_to_stop(None, now=True)
        until(lambda: not service.queue.workers(), "the workers leave")


def operations(service: Service) -> list[Any]:
    """All operations of the document that the server gives out."""
    schema = schemathesis.openapi.from_url(
        f"{service.url}/openapi.json", headers={"Authorization": f"Bearer {service.tokens['full']}"}
    )
    return [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]


def takes_anything(operation: Any) -> bool:
    """Whether no request can be wrong: no token is asked for, nor anything but headers of any text. Hypothesis would
    find that out with 450 attempts."""
    told = operation.definition.raw
    free = all(each["in"] == "header" and each["schema"] == {"type": "string"} for each in told["parameters"])
    return free and told.get("security") == [] and "requestBody" not in told


def try_operation(service: Service, operation: Any, examples: int, seed_: int) -> None:
    """So many right requests and as many wrong ones. Raises what does not hold."""
    starts_workers = operation.label == STARTS_WORKERS
    if starts_workers:
        without_jobs(service)
    right_and_wrong = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    for mode in right_and_wrong[:1] if takes_anything(operation) else right_and_wrong:
        strategy = operation.as_strategy(generation_mode=mode)

        @seed(seed_)
        @settings(
            max_examples=examples, deadline=None, database=None, derandomize=False,
            suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate, Phase.shrink],
        )  # fmt: skip
        @given(case=strategy, known=st.sampled_from([None, *KNOWN]))
        def attempt(case: Any, known: str | None) -> None:
            if known is not None and "id" in (case.path_parameters or {}):
                case.path_parameters["id"] = known
            headers = {"Authorization": f"Bearer {service.tokens['full']}"}
            try:
                case.call_and_validate(headers=headers, checks=CHECKS)
            finally:
                if starts_workers:
                    without_workers(service)

        try:
            attempt()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE  # nothing wrong can be sent where nothing is taken


def try_noise(service: Service, method: str, path: str, examples: int, seed_: int) -> None:
    """Random headers and bodies, on any path: whatever comes, the server answers, and never with a failure of its own.

    A request that no client library would send is left to the tests of the guard.
    """
    visible = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)
    names = st.one_of(st.sampled_from(HEADERS), st.from_regex(r"[A-Za-z][A-Za-z-]{0,20}", fullmatch=True))
    names = names.filter(lambda name: name.lower() not in ABOUT_THE_CONNECTION)

    @seed(seed_)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(headers=st.dictionaries(names, visible, max_size=6), body=st.binary(max_size=2000), known=st.booleans())
    def attempt(headers: dict[str, str], body: bytes, known: bool) -> None:
        sent = {"Authorization": f"Bearer {service.tokens['full']}", "Content-Type": "application/json", **headers}
        if known:
            sent["Authorization"] = f"Bearer {service.tokens['full']}"
        answer = service.stranger.request(method, path, headers=sent, content=body)
        assert answer.status_code < 500, f"{method} {path} {sent} {body!r}: {answer.status_code} {answer.text}"
        problem = answer.status_code >= 400 and answer.status_code != 400
        assert not problem or answer.headers["content-type"] == "application/problem+json" or path == "/login"

    attempt()


def filled(path: str) -> str:
    """A path with something for its parameters."""
    for name, value in (("{id}", "0"), ("{name}", "timeout"), ("{ref}", "nobody")):
        path = path.replace(name, value)
    return path


def main() -> int:
    """Tries everything; 1 where something does not hold."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    print(f"seed {args.seed}, {args.examples} examples an operation")
    failed = 0
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "queuectl.db", STREAM_S) as service:
        for operation in operations(service):
            label = f"{operation.method.upper()} {operation.path}"
            if args.only not in label:
                continue
            furnish(service)
            try:
                try_operation(service, operation, args.examples, args.seed)
                try_noise(service, operation.method.upper(), filled(operation.path), args.examples // 2, args.seed)
                print(f"ok   {label}", flush=True)
            except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001
                failed += 1
                print(f"FAIL {label}\n{error}\n{getattr(error, 'exceptions', '')}", flush=True)
            finally:
                without_workers(service)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
