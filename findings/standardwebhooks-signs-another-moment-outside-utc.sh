#!/bin/sh
# standardwebhooks 1.0.1, Python 3.11
#
# What: `Webhook.sign(id, time, data)` with an aware time.
# Expected: the signature depends on the moment alone, as the header `webhook-timestamp` does.
# Seen: the zone of the time is dropped and its clock time taken for UTC. The same moment in Tokyo's zone gets the
# signature of nine hours later, which no receiver accepts beside the right header.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'standardwebhooks==1.0.1'
"$place/venv/bin/python" - <<'PYTHON'
import base64
from datetime import datetime, timedelta, timezone

from standardwebhooks.webhooks import Webhook

webhook, body = Webhook("whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()), '{"type": "job.dead"}'
at = datetime(2026, 11, 29, 12, 0, tzinfo=timezone.utc)
tokyo = at.astimezone(timezone(timedelta(hours=9)))
assert tokyo == at
print(webhook.sign("msg_1", at, body), webhook.sign("msg_1", tokyo, body))
assert webhook.sign("msg_1", tokyo, body) != webhook.sign("msg_1", at, body), "the zone counts now"
assert webhook.sign("msg_1", tokyo, body) == webhook.sign("msg_1", at + timedelta(hours=9), body)
PYTHON
echo "as seen"
