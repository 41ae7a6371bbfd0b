"""Which command lines need no shell: those of plain words only, as GNU make decides it (its `job.c`, `sh_chars`).

Such a line means the same without a shell, and starts in half the time. In doubt it goes to the shell: for any
character that a shell could see something in, any name that a shell takes for itself, and any shell but `sh`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

_SHELLS = ("/bin/sh", "/usr/bin/sh")
_ALTERING = (b"BASH_FUNC_", b"BASHOPTS", b"SHELLOPTS")
"""Variables by which a bash that is `sh` takes over functions and options from where it was started."""

_PLAIN = re.compile(r"[ \t]*[A-Za-z0-9_./][A-Za-z0-9_./,:@%+-]*(?:[ \t]+[A-Za-z0-9_./,:@%+=-]+)*[ \t]*")
"""The first word has no `=`, which would make it an assignment, and no `-`, which would make it an option of sh."""

_KEYWORDS = "case coproc do done elif else esac fi for function if in namespace select then time until while"

_BUILTINS = """
    . : alias bg bind break builtin caller cd chdir command compgen complete compopt continue declare dirs disown echo
    enable eval exec exit export false fc fg float functions getopts hash help hist history inlib integer jobs kill let
    local logout mapfile nameref popd print printf pushd pwd read readarray readonly return set shift shopt sleep source
    stop suspend test times trap true type typeset ulimit umask unalias unset unsetenv vmap wait whence
"""
"""Of every `sh` in use: dash, bash, BusyBox ash, ksh, zsh. A name too many only costs the time of a shell."""

_TAKEN = frozenset(f"{_KEYWORDS} {_BUILTINS}".split())


def is_plain_shell(shell: str, env: Mapping[bytes, bytes]) -> bool:
    """Whether it is the usual shell, and nothing in its environment changes what a plain word means to it."""
    return shell in _SHELLS and b"PATH" in env and not any(name.startswith(_ALTERING) for name in env)


@lru_cache(maxsize=1024)
def plain_words(line: str) -> tuple[str, ...] | None:
    """The words of a command line that needs no shell. None if it needs one."""
    if _PLAIN.fullmatch(line) is None:
        return None
    words = tuple(line.split())
    return None if words[0] in _TAKEN else words
