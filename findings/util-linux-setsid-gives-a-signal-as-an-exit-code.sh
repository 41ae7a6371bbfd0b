#!/bin/sh
# util-linux 2.38.1-5+deb12u3 (Debian 12), Python 3.11
#
# What: `setsid --wait` starts a program that is killed, by SIGKILL as the kernel does it when memory runs out.
# Expected: setsid ends by SIGKILL too, or with 137 as a shell does; and the same however it was started.
# Seen: it ends with 9, which looks like an exit code of the program's own, if it is the first of its process group, as it
# is where a job runner or a shell with job control starts it. Elsewhere it becomes the program, and the signal is seen.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
mkdir -p lists/partial
apt="apt-get -qq -o Dir::State::Lists=$place/lists -o APT::Sandbox::User=root"
$apt update
$apt download 'util-linux=2.38.1-5+deb12u3'
dpkg -x util-linux_*.deb there
setsid="$place/there/usr/bin/setsid"
python3 - "$setsid" <<'PYTHON'
import subprocess
import sys

killed = [sys.argv[1], "--wait", "sh", "-c", "kill -KILL $$"]
plain = subprocess.run(killed).returncode
leader = subprocess.run(killed, process_group=0).returncode
print("in the group of its starter:", plain, "as the first of its own:", leader)
assert plain == -9
assert leader == 9, "the exit code is another now"
PYTHON
echo "as seen"
