#!/bin/sh
# prometheus-client 0.26.0, Python 3.11
#
# What: `choose_encoder` picks the format of an exposition from the request's Accept header.
# Expected: the content type names a version of the format that the library writes.
# Seen: the version asked for is echoed, whatever it is. A client that asks for OpenMetrics 99.0.0, which does not exist,
# is told that it gets 99.0.0, and reads a body of another version.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'prometheus-client==0.26.0'
"$place/venv/bin/python" - <<'PYTHON'
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.exposition import choose_encoder

registry = CollectorRegistry()
Counter("jobs", "Jobs.", registry=registry).inc()
bodies = {}
for version in ("1.0.0", "99.0.0"):
    encode, content_type = choose_encoder(f"application/openmetrics-text; version={version}")
    bodies[version] = encode(registry)
    print(version, "->", content_type)
    assert f"version={version}" in content_type, "the version is no longer echoed"
PYTHON
echo "as seen"
