#!/bin/sh
# GNU parallel 20221122+ds-2 (Debian 12)
#
# What: three jobs, one at a time; during the first, parallel gets a SIGHUP, as it does when a terminal is closed. It starts
# no other job then, as its manual says.
# Expected: an exit code that tells that two jobs were not run: the manual says that 0 means that all jobs ran without error.
# Seen: it is 0, after one job of three. A script or a job runner takes that for the end of all the work; only a `--joblog`
# tells what is missing. After a SIGTERM the exit code is 255.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
mkdir -p lists/partial
apt="apt-get -qq -o Dir::State::Lists=$place/lists -o APT::Sandbox::User=root"
$apt update
$apt download 'parallel=20221122+ds-2'
dpkg -x parallel_*.deb there
"$place/there/usr/bin/parallel" --will-cite -j1 'touch begun-{}; until test -e gate; do sleep 0.1; done; touch done-{}' ::: 1 2 3 2> log &
until test -e begun-1; do sleep 0.1; done
kill -HUP $!
until grep -q "No new jobs" log; do sleep 0.1; done
touch gate
code=0
wait $! || code=$?
echo "done: $(echo done-*), exit code: $code"
test "$(echo done-*)" = done-1
test "$code" = 0 || { echo "the exit code tells it now"; exit 1; }
echo "as seen"
