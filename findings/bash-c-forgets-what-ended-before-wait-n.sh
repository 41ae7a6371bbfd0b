#!/bin/sh
# bash 5.2.15-2+b13 (Debian 12)
#
# What: two commands in the background fail at once, a third goes on; then `wait -n` three times, for one end each.
# Expected: 3 and 4, the exit codes of those that failed, then 0: as `wait -n` does it in a script file.
# Seen: the same text given to `bash -c` yields 0, 127 and 127: what has ended before `wait -n` is called is forgotten, so
# that no failure is noticed. `wait PID`, without -n, still tells its exit code. Job runners use `bash -c`.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
mkdir -p lists/partial
apt="apt-get -qq -o Dir::State::Lists=$place/lists -o APT::Sandbox::User=root"
$apt update
$apt download 'bash=5.2.15-2+b13'
dpkg -x bash_*.deb there
bash="$place/there/bin/bash"
cat > script <<'BASH'
(exit 3) & failed=$!
(exit 4) &
sleep 2 &
sleep 1
for _ in 1 2 3; do wait -n; echo -n "$? "; done
wait $failed
echo "and by its pid: $?"
BASH
file=$("$bash" script 2> /dev/null)
text=$("$bash" -c "$(cat script)" 2> /dev/null)
printf '%s\n' "a file: $file" "-c: $text"
test "$file" = "3 4 0 and by its pid: 3"
test "$text" = "0 127 127 and by its pid: 3" || { echo "bash -c remembers them now"; exit 1; }
echo "as seen"
