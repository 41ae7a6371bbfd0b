#!/bin/sh
# busybox 1:1.35.0-4+deb12u1+b1 (Debian 12)
#
# What: `timeout 1` runs a command that ends in order when it gets SIGTERM, with exit code 0, and another one that does not.
# Expected: 124 for both, as the `timeout` of GNU has it: the time was up.
# Seen: 0 for the first, so that work which was broken off counts as done, and 143 for the second. The command takes the
# place of `timeout` itself, and a child of it sends the signal; nobody is left who could say 124.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
mkdir -p lists/partial
apt="apt-get -qq -o Dir::State::Lists=$place/lists -o APT::Sandbox::User=root"
$apt update
$apt download 'busybox=1:1.35.0-4+deb12u1+b1' 'coreutils=9.1-1'
for package in *.deb; do dpkg -x "$package" there; done
ended() { # the exit codes of a command that ends in order, and of one that does not
    # shellcheck disable=SC2016
    for trap in 'trap "exit 0" TERM' ':'; do
        code=0
        "$@" 1 sh -c "$trap; while :; do sleep 0.1; done" || code=$?
        echo "$code"
    done 2> log | tr '\n' ' '
}
by_busybox=$(ended there/bin/busybox timeout)
by_coreutils=$(ended there/usr/bin/timeout)
echo "busybox: $by_busybox; coreutils: $by_coreutils"
test "$by_coreutils" = "124 124 "
test "$by_busybox" = "0 143 " || { echo "busybox tells it now"; exit 1; }
echo "as seen"
