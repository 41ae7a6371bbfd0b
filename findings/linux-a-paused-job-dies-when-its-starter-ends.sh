#!/bin/sh
# Linux 6.18, Python 3.11
#
# What: a program starts two commands, each in a process group of its own, pauses one by SIGSTOP, and ends. No terminal is
# involved.
# Expected: both go on as they were: one runs, the other one stays paused until it gets a SIGCONT.
# Seen: the one that runs goes on, and the paused one is killed by a SIGHUP, which nobody has sent. A group that loses its
# last tie to its session while a member is stopped gets SIGHUP and SIGCONT from the kernel. With a session of its own, the
# paused command survives.
# Fails when that changes.
set -eu
python3 - <<'PYTHON'
import ctypes
import os
import signal
import subprocess
import sys
import time

BECOME_SUBREAPER = 36
STARTER = """
import os, signal, subprocess, sys
apart = {"process_group": 0} if sys.argv[1] == "group" else {"start_new_session": True}
paused, running = (subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, **apart).pid for _ in range(2))
os.kill(paused, signal.SIGSTOP)
os.waitid(os.P_PID, paused, os.WSTOPPED | os.WNOWAIT)
print(paused, running, flush=True)
os._exit(0)
"""


def ends(apart: str) -> list[int | None]:
    """The end of the paused one and of the one that runs: a signal as a negative number, None while it lives."""
    starter = [sys.executable, "-c", STARTER, apart]
    said = subprocess.run(starter, stdout=subprocess.PIPE, text=True, start_new_session=True, check=True).stdout
    pids = [int(word) for word in said.split()]
    deadline, found = time.monotonic() + (5 if apart == "group" else 1), [None, None]
    while found == [None, None] and time.monotonic() < deadline:
        ended = [os.waitpid(pid, os.WNOHANG) for pid in pids]
        found = [os.waitstatus_to_exitcode(status) if pid else None for pid, status in ended]
        time.sleep(0.1)
    for pid, end in zip(pids, found):
        if end is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return found


ctypes.CDLL(None).prctl(BECOME_SUBREAPER, 1, 0, 0, 0)  # so that the ends of both can be read here
in_groups, in_sessions = ends("group"), ends("session")
print("paused, running; in groups:", in_groups, "in sessions:", in_sessions)
assert in_sessions == [None, None]
assert in_groups == [-signal.SIGHUP, None], "the paused one is let alone now"
PYTHON
echo "as seen"
