#!/bin/sh
# GNU parallel 20221122 (Debian 12), perl
#
# What: `--resume` with `--joblog` and `--results`, after a `kill -9` while two of four jobs ran.
# Expected: the two run again, as they do with `--joblog` alone: the log has no line of theirs.
# Seen: they are skipped for good: that their folders of results exist counts as done, whatever became of them.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
apt-get download --quiet -o APT::Sandbox::User=root 'parallel=20221122+ds-2' > log
dpkg-deb --extract parallel_*.deb "$place"
resumed() {  # what runs after the kill, with these options
    rm -rf joblog results began open
    words="perl $place/usr/bin/parallel --will-cite -j2 --resume --joblog joblog"
    # shellcheck disable=SC2016,SC2086
    set -- $words "$@" 'echo {} >> began; while test ! -e open; do sleep 0.1; done' ::: 1 2 3 4
    "$@" < /dev/null > log 2>&1 &
    until test "$(wc -l 2> log < began)" = 2; do sleep 0.1; done
    kill -9 $!
    wait $! 2> log || true
    touch open
    rm began
    "$@" < /dev/null > log 2>&1
    sort began | tr '\n' ' '
}
log_alone=$(resumed)
with_results=$(resumed --results results)
echo "with --joblog: $log_alone; with --results too: $with_results"
test "$log_alone" = "1 2 3 4 "
test "$with_results" = "3 4 " || { echo "what was killed runs again now"; exit 1; }
echo "as seen"
