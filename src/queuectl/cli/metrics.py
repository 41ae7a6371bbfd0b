"""`metrics`."""

from __future__ import annotations

from queuectl.cli.call import Call
from queuectl.domain.errors import OperationFailed


def metrics(call: Call) -> int:
    """Prints the metrics as Prometheus reads them, apart from those that count since the start of a server."""
    try:
        from queuectl.client import metrics
    except ImportError as error:
        raise OperationFailed(
            f"cannot load the libraries of the extra [web]: {error}", "in the checkout: pip install -e '.[web]'"
        ) from None
    with call.client() as client:
        text = metrics.text(metrics.read(client)).decode()
    if call.console.as_json:
        call.console.json({"metrics": text})
    else:
        call.console.print(text.removesuffix("\n"))
    return 0
