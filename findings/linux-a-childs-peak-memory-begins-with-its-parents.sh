#!/bin/sh
# Linux 6.18, Python 3.11
#
# What: a program that once held 200 MB starts /bin/true by posix_spawn, and asks wait4 for the most memory it held.
# Expected: what /bin/true held, some 2 MB.
# Seen: 200 MB. A child begins with its parent's memory, and the kernel takes that parent's peak over when the child
# becomes another program. Since Linux 4.0 a parent can forget its own peak: by a 5 in /proc/self/clear_refs.
# A program's own RUSAGE_SELF begins with its parent's peak too, so it is no measure of what children begin with.
# Fails when that changes.
set -eu
python3 - <<'PYTHON'
import os


def most_of_a_child() -> int:
    """In MB."""
    return os.wait4(os.posix_spawn("/bin/true", ["true"], {}), 0)[2].ru_maxrss // 1000


del (held := [bytearray(200_000_000)])[:]
before = most_of_a_child()
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
after = most_of_a_child()
print("as its parent was:", before, "MB; once that is forgotten:", after, "MB")
assert before > 190, "a child no longer begins with its parent's peak"
assert after < 100, "the peak is no longer forgotten"
PYTHON
echo "as seen"
