"""What a dispatcher tells its supervisor of jobs that share surroundings, and of those that do not."""

from __future__ import annotations

import socket

from queuectl.domain.job import Spec
from queuectl.engine.link import Link
from queuectl.engine.protocol import SPECS_MAX, Channel, Order
from tests.builders import a_job, a_worker


def test_every_start_refers_to_one_of_the_last_surroundings_that_were_sent() -> None:
    near, far = (Channel(end) for end in socket.socketpair())
    link = Link(a_worker(), near)
    shared = Spec(env={"shared": "1"})
    sent: dict[int, dict[str, str]] = {}
    for number in range(2 * SPECS_MAX + 10):
        own = Spec(env={"own": str(number)})
        jobs = [
            a_job(f"{number}-{at}", spec=spec)._replace(seq=2 * number + at) for at, spec in enumerate((own, shared))
        ]
        link.start(jobs, 0.0)
        wanted = [dict(job.spec.env) for job in jobs]
        for kind, *words in far.receive():
            if kind == "spec":
                assert words[0] == len(sent)
                sent[words[0]] = words[1]["env"]
            else:
                assert len(sent) - Order(*words).spec <= SPECS_MAX
                assert sent[Order(*words).spec] == wanted.pop(0)
        link.recorded(list(link.flights))
        far.receive()
    assert len(sent) < 2 * SPECS_MAX + 20, "shared surroundings are sent anew only now and then"
    near.close()
    far.close()
