"""`token` and `audit`: who may come in over HTTP, and who did what."""

from __future__ import annotations

import re

from tests.e2e.conftest import Terminal


def test_a_token_is_shown_once_and_only_its_digest_is_kept(terminal: Terminal) -> None:
    made = terminal.good("queuectl token create monitor")
    token = made.out.strip()
    assert re.fullmatch(r"qctl_[0-9a-z]{52}", token)
    assert "not shown again" in made.err
    listed = terminal.good("queuectl token list")
    assert "monitor" in listed.out
    assert "read-only" in listed.out
    assert token not in listed.out
    assert token.encode() not in (terminal.folder / "queuectl.db").read_bytes()


def test_names_are_unique_and_roles_known(terminal: Terminal) -> None:
    assert terminal.good("queuectl --json token create alice --role full").json["role"] == "full"
    assert terminal.type("queuectl token create alice").code == 4
    assert terminal.type("queuectl token create 'a b'").code == 2
    wrong = terminal.type("queuectl token create bob --role ful")
    assert wrong.code == 2
    assert "did you mean 'full'?" in wrong.err


def test_a_revoked_token_is_gone(terminal: Terminal) -> None:
    terminal.good("queuectl token create a; queuectl token create b")
    assert terminal.good("queuectl token revoke a").out == "revoked a\n"
    assert terminal.good("queuectl token list --quiet").out == "b\n"
    assert terminal.type("queuectl token revoke a").code == 3


def test_the_audit_log_says_who_did_what(stored: Terminal) -> None:
    assert stored.good("queuectl audit --json").json == []
    stored.good("queuectl enqueue --id a -- true; queuectl enqueue --id b -- true; queuectl hold a")
    stored.good("queuectl config set timeout 1h; queuectl delete b --yes; queuectl token create x")
    deeds = stored.good("queuectl audit --json").json
    assert [(deed["event"], deed["job"], deed["detail"]) for deed in deeds] == [
        ("held", "a", None),
        ("setting_changed", None, "timeout=1h"),
        ("deleted", None, "1: b"),
        ("token_created", None, "x (read-only)"),
    ]
    assert all(deed["by"] for deed in deeds)
    assert len(stored.good("queuectl audit --json --limit 2").json) == 2
    assert "setting changed" in stored.good("queuectl audit").out


def test_serve_says_what_it_needs(terminal: Terminal) -> None:
    for words, part in (("--port 70000", "is not a port"), ("--cert a.pem", "belong together"),
                        ("--host 203.0.113.1", "cannot listen")):  # fmt: skip
        done = terminal.type(f"queuectl serve {words}")
        assert done.code in (1, 2)
        assert part in done.err
        assert len(done.err.splitlines()) == 1
