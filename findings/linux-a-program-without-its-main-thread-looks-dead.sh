#!/bin/sh
# Linux 6.18, psutil 7.2.2, Python 3.11
#
# What: a program holds 100 MB, ends its main thread by pthread_exit, and goes on in another one.
# Expected: it is shown as any program that runs: by its command line, its memory and its state. A zombie is a process that
# has ended and was not reaped yet.
# Seen: it is a zombie of 0 bytes without a command line or an environment, while it writes on. So tools that pass over
# zombies neither end such a program nor count its memory. Its other threads, in /proc/PID/task, tell how it is.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'psutil==7.2.2'
"$place/venv/bin/python" - <<'PYTHON'
import subprocess
import sys
import time

import psutil

PROGRAM = """
import ctypes, threading, time
kept = bytearray(b"x") * 100_000_000
def go_on():
    while True:
        print("alive", flush=True)
        time.sleep(0.1)
threading.Thread(target=go_on).start()
ctypes.CDLL(None).pthread_exit(None)
"""
program = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
try:
    seen = psutil.Process(program.pid)
    deadline = time.monotonic() + 20
    while seen.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        program.stdout.readline()
    said = [program.stdout.readline() for _ in range(20)]
    print("it is a", seen.status(), "of", seen.memory_info().rss, "bytes, and says", said[-1].strip())
    assert said[-1] == "alive\n"
    assert program.poll() is None
    assert seen.status() == psutil.STATUS_ZOMBIE, "it is no zombie any more"
    assert seen.memory_info().rss == 0, "its memory is told now"
    rest = psutil.Process(max(thread.id for thread in seen.threads()))
    assert rest.memory_info().rss > 100_000_000
    try:
        raise AssertionError(f"its command line is told now: {seen.cmdline()}")
    except psutil.ZombieProcess:
        pass
finally:
    program.kill()
    program.wait()
PYTHON
echo "as seen"
