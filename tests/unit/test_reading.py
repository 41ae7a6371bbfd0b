"""Jobs read from text: as fast as many lines are alike, and as strict as one by one."""

from __future__ import annotations

import json
import random
from io import BytesIO
from typing import Any

import pytest

from queuectl.domain.errors import Invalid, SystemFailure
from queuectl.wire import spool
from queuectl.wire.documents import BLOCK_CHARACTERS, documents_in
from queuectl.wire.reading import Reader, Requests, merged, read
from queuectl.wire.requests import JobRequest, of_printed, parse_request

NOW = 1_700_000_000.0


def read_text(text: bytes, **how: Any) -> Requests:
    return read(documents_in(BytesIO(text)), "f", NOW, **how)


VALUES: dict[str, list[Any]] = {
    "command": ["true", "", " ", "é", "a\0", ["a", "b"], [], [1], "x" * 200_000, None, 7, "\ud800"],
    "id": ["a", "b-1", "", "a b", "é", None, 3, "x" * 129],
    "priority": [0, 1, True, 1.0, "1", "x", None],
    "tags": [["a"], "a", [True], [], None],
    "env": [{"A": "1"}, {"A": 1}, {}],
    "run_at": ["2030-01-01T00:00:00Z", "tomorrow-ish"],
    "max-retries": [1, "2"],
    "max_retries": [1, -1],
    "state": ["pending", "dead"],
    "nope": [1],
}


def random_document(draw: random.Random) -> Any:
    if draw.random() < 0.03:
        return draw.choice([[], "x", 1, None])
    keys = draw.sample(list(VALUES), draw.choice([0, 0, 1, 1, 2]))
    document = {key: draw.choice(VALUES[key][: draw.choice([1, 99])]) for key in keys}
    return {"command": draw.choice(["true", f"echo {draw.random()}"]), **document}


def checked_alone(document: Any, given: dict[str, Any]) -> JobRequest | str:
    try:
        return parse_request(merged(of_printed(document)[0], given), NOW)
    except Invalid as error:
        return error.message


@pytest.mark.parametrize("given", [{}, {"queue": "q"}, {"id": "x"}, {"tags": ["t"]}])
def test_many_lines_are_checked_as_each_would_be_alone(given: dict[str, Any]) -> None:
    draw = random.Random(str(given))
    good: list[tuple[bytes, JobRequest]] = []
    for _ in range(1500):
        document = random_document(draw)
        line = json.dumps(document).encode() + draw.choice([b"\n", b"\r\n", b" \n"])
        alone = checked_alone(document, given)
        text = b"".join(before for before, _ in good[-5:]) + line
        if isinstance(alone, str):
            with pytest.raises(Invalid) as refused:
                read_text(text, given=given, left_out={})
            assert refused.value.message == f"f line {min(len(good), 5) + 1}: {alone}"
        else:
            *_, last = read_text(text, given=given, left_out={})
            assert last == alone
            good.append((line, alone))
    requests = read_text(b"".join(line for line, _ in good), given=given, left_out={})
    assert list(requests) == [request for _, request in good] == list(requests)
    assert len(good) > (0 if "id" in given else 500)


@pytest.mark.parametrize("twice", ['{"command": "a", "command": "b"}', '{"command": "a", "id": "b", "id": "c"}'])
def test_a_key_given_twice_is_refused_on_every_line(twice: str) -> None:
    with pytest.raises(Invalid, match=r"f line 3: key '(command|id)' comes twice"):
        read_text(f'{{"command": "a"}}\n\n{twice}\n'.encode())


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_of_any_length_is_read_in_blocks(indent: int | None) -> None:
    documents = [{"command": f"echo {number} é"} for number in range(BLOCK_CHARACTERS // 10)]
    commands = [document["command"] for document in documents]
    array = json.dumps(documents, ensure_ascii=False, indent=indent).encode()
    beside = b"\n".join(json.dumps(each, indent=1).encode() for each in documents)
    assert [request.command for request in read_text(b"[\n" + array[1:])] == commands
    assert [request.command for request in read_text(b"\xef\xbb\xbf" + beside + b"[]")] == commands


def test_a_mistake_far_inside_an_array_is_named_by_its_line() -> None:
    lines = [b'{"command": "true"},\n'] * 9000
    with pytest.raises(Invalid, match="Expecting ',' delimiter in line 9002"):
        read_text(b"[\n" + b"".join(lines) + b'{"command": "true"} {"command": "true"}]')
    with pytest.raises(Invalid, match="f job 9001: unknown key 'x'"):
        read_text(b"[\n" + b"".join(lines) + b'{"command": "true", "x": 1}]')
    with pytest.raises(Invalid, match="is not valid JSON: Unterminated string starting at in line 9002"):
        read_text(b"[\n" + b"".join(lines) + b'{"command": "true')


def test_what_exceeds_memory_waits_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MEMORY_BYTES", 1000)
    text = b"".join(b'{"command": "echo %d", "id": "a%d", "priority": %d}\n' % (n, n, n % 7) for n in range(4500))
    requests = read_text(text)
    assert [(each.id, each.columns["priority"]) for each in requests] == [(f"a{n}", n % 7) for n in range(4500)]
    assert [len(piece.commands) for piece in requests.pieces()] == [1000] * 4 + [500]


def test_a_full_disk_is_named_as_soon_as_it_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MEMORY_BYTES", 10)
    monkeypatch.setattr("tempfile.TemporaryFile", lambda buffering=-1, **_: open("/dev/full", "r+b", buffering))  # noqa: SIM115
    kept = spool.Spool()
    with pytest.raises(SystemFailure, match=r"cannot keep the input in .*: No space left on device"):
        kept.add("a text of more than ten bytes")
    del kept
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: open("/none/there"))  # noqa: SIM115
    with pytest.raises(SystemFailure, match="cannot keep the input in a file: No such file or directory"):
        spool.Spool().add("a text of more than ten bytes")


def test_chunks_are_read_one_by_one_and_know_their_lines() -> None:
    text = b"".join(b'\n{"command": "true", "id": "a%d"}\n' % n for n in range(2500)) + b"bad"
    chunks = Reader(documents_in(BytesIO(text)), "f", NOW).chunks(1200)
    assert [(len(chunk), chunk.last) for chunk in (next(chunks), next(chunks))] == [(1200, 2400), (1200, 4800)]
    with pytest.raises(Invalid, match="f line 5001: the job is not valid JSON"):
        next(chunks)
