#!/bin/sh
# hatchling 1.28.0, build 1.3.0, Python 3.11, git
#
# What: builds a source distribution in a git checkout that also holds a file which was never added.
# Expected: the archive has the files of the repository, as setuptools-scm and flit make it.
# Seen: it has every file that no .gitignore names, a note with a password too.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'hatchling==1.28.0' 'build==1.3.0'
mkdir -p "$place/thing/src/thing"
cd "$place/thing"
echo '"""A thing."""' > src/thing/__init__.py
printf '%s\n' '[build-system]' 'requires = ["hatchling"]' 'build-backend = "hatchling.build"' \
    '[project]' 'name = "thing"' 'version = "1"' > pyproject.toml
git init --quiet
git add .
git -c user.name=a -c user.email=a@example.org commit --quiet --message "a thing"
echo "the password is swordfish" > notes.txt
"$place/venv/bin/python" -m build --sdist --no-isolation --outdir "$place/out" . > "$place/log"
tar -tzf "$place"/out/thing-1.tar.gz
tar -tzf "$place"/out/thing-1.tar.gz | grep -q notes.txt || { echo "the unknown file is left out now"; exit 1; }
echo "as seen"
