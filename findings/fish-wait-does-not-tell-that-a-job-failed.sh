#!/bin/sh
# fish 3.6.0-3.1+deb12u1 (Debian 12)
#
# What: starts `sh -c "exit 3"` in the background, and waits for it by its pid: `wait $last_pid; echo $status`.
# Expected: 3, as `wait PID` yields it in every other shell, and as fish itself has it for a command in the foreground.
# Seen: 0. fish waits, and tells nothing of how the job has ended, also where it was killed; of several, none. So a script
# in fish that runs commands side by side cannot know by `wait` that one has failed.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
mkdir -p lists/partial
apt="apt-get -qq -o Dir::State::Lists=$place/lists -o APT::Sandbox::User=root"
$apt update
$apt download 'fish=3.6.0-3.1+deb12u1' 'libpcre2-32-0'
for package in *.deb; do dpkg -x "$package" there; done
ended() { # how `wait` ends in this shell, after a job that ends with 3 and one that is killed
    # shellcheck disable=SC2016
    for job in 'exit 3' 'kill -KILL $$'; do
        HOME=$place LD_LIBRARY_PATH=$(dirname "$place"/there/usr/lib/*/libpcre2-32.so.0) "$1" -c "sh -c '$job' & $2" 2> log
    done | tr '\n' ' '
}
# shellcheck disable=SC2016
by_fish=$(ended there/usr/bin/fish 'wait $last_pid; echo $status')
# shellcheck disable=SC2016
by_sh=$(ended sh 'wait $!; echo $?')
echo "fish: $by_fish; sh: $by_sh"
test "$by_sh" = "3 137 "
test "$by_fish" = "0 0 " || { echo "fish tells it now"; exit 1; }
echo "as seen"
