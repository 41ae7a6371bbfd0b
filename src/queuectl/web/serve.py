"""`queuectl serve`."""

from __future__ import annotations

import errno
import gc
import ipaddress
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from urllib.parse import urlencode

from queuectl import places
from queuectl.cli import hints
from queuectl.cli.call import Call
from queuectl.client.facade import Client
from queuectl.domain.errors import Invalid, NoStore, OperationFailed, StoreLost
from queuectl.typed import TYPE_CHECKING, Any
from queuectl.web.public import LOOPBACK, PublicUrl, parse_public_url, trusted_proxies
from queuectl.web.stores import parse_also

if TYPE_CHECKING:
    from types import SimpleNamespace

    import uvicorn
    from starlette.applications import Starlette

PORT_MAX = 65535
BACKLOG = 512
CLOSE_WITHIN_S = 1
"""How long requests may go on after the server is told to stop."""
KEEP_ALIVE_S = 30
STORE_PATIENCE_S = 5.0
"""How long a request waits for the store's write lock."""
COLLECT_AFTER = (700, 10, 2)
"""Thresholds of the garbage collector; every second collection of the middle generation is a full one."""
Place = tuple[int, int, int, str, Any]
"""A socket's family, kind, protocol, name and address, as `getaddrinfo` gives them."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(call: Call) -> int:
    """Serves until a signal stops it."""
    args = call.args
    check(args)
    public = parse_public_url(args.public_url) if args.public_url else None
    app = _app(call, public, trusted_proxies(args.trust_forwarded or (LOOPBACK if public else ())))
    if args.cert:
        _check_certificate(args.cert, args.key)
    if args.check:
        _refuse_unsafe(call, _place(args.host, _port(args.port))[4][0])
        call.open_client(call.db).close()
        call.console.note("a server can start with these options", "can_start")
        return 0
    with bound(args.host, _port(args.port)) as listener:
        address, port = listener.getsockname()[:2]
        _refuse_unsafe(call, address)
        with call.client() as client:
            token = client.own_token()
        _warm_up()
        _settle()
        _say(call, f"{'https' if args.cert else 'http'}://{_in_url(args.host, address)}:{port}", public, token)
        _server(app, args.cert, args.key).run(sockets=[listener])
    return 0


def check(args: SimpleNamespace) -> None:
    """Raises `Invalid` for options that mean nothing, whatever machine they are for."""
    if bool(args.cert) != bool(args.key):
        raise Invalid("--cert and --key belong together", "give both or neither")
    if args.public_url:
        parse_public_url(args.public_url)
    trusted_proxies(args.trust_forwarded)
    parse_also(args.also)
    _port(args.port)


def _warm_up() -> None:
    """Does what the first request for each page would do."""
    from queuectl.web.rendering import compile_templates

    compile_templates()


def _settle() -> None:
    """Frees what requests leave behind soon after them.

    Only full collections free it. Python makes these rare where much stays for good, as all modules do: the server kept
    15 MiB of old requests. What was made before is frozen, so a full collection is cheap, and may come often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def open_client(db: str | None, make: bool = True) -> Client:
    """Opens the store for one thread of the server. Raises `StoreUnavailable`.

    Not to `make` it raises `StoreLost` if it is not there: it was when the server started.
    """
    if not make:
        url = places.locate_store(db)
        try:
            places.refuse_missing(url)
        except NoStore:
            raise StoreLost(f"the store {url} was removed", "to make a new one: queuectl serve") from None
    store = places.open_store(db)
    store.wait_at_most(STORE_PATIENCE_S)
    store.save_memory()
    return Client(store, drives_orphans=False)  # its threads are few


def _app(call: Call, public: PublicUrl | None, trusted: Sequence[str]) -> Starlette:
    try:
        from queuectl.web.app import create_app
    except ImportError as error:
        raise OperationFailed(
            f"cannot load the libraries of the extra [web]: {error}", "in the checkout: pip install -e '.[web]'"
        ) from None
    also = parse_also(call.args.also)
    for url in also.values():
        places.open_existing(url).close()  # one that is not there or cannot be opened is told now
    app = create_app(
        partial(open_client, call.db, make=False), call.args.host, call.args.allow_host, public=public, trusted=trusted,
        also={name: partial(open_client, url, make=False) for name, url in also.items()},
    )  # fmt: skip
    for each, db in zip(app.state.all, map(hints.given, (call.db, *also.values())), strict=True):
        each.state.queuectl = hints.command("", db).rstrip()
        each.state.on_store = partial(hints.on_store, db=db)
    return app


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:6]) > PORT_MAX:
        raise Invalid(f"--port {text!r} is not a port", f"give a whole number from 0 to {PORT_MAX:,}")
    return int(text)


def _place(host: str, port: int) -> Place:
    """What an address of `--host` means. Raises `OperationFailed`."""
    try:
        return socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise _cannot_listen(host, port, error) from None


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """The listening socket. Raises `OperationFailed` if the address is taken or not this machine's."""
    family, kind, protocol, _, where = _place(host, port)
    # Without its protocol asyncio would not treat it as TCP, and every answer would wait for an ACK.
    with socket.socket(family, kind, protocol) as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen(BACKLOG)
        except OSError as error:
            raise _cannot_listen(host, port, error) from None
        yield listener


def _cannot_listen(host: str, port: int, error: OSError) -> OperationFailed:
    taken = error.errno == errno.EADDRINUSE
    hint = "another program uses the port; choose another --port" if taken else "name an address of this machine"
    return OperationFailed(f"cannot listen on {host} port {port}: {error.strerror}", hint)


def _refuse_unsafe(call: Call, address: str) -> None:
    """Refuses to serve other machines without HTTPS unless --insecure is given: the token could be read on the way."""
    if ipaddress.ip_address(address).is_loopback or call.args.cert:
        return
    if not call.args.insecure:
        raise Invalid(
            f"{address} is reachable from other machines; without HTTPS the token can be read on the way",
            "give --cert and --key, or --insecure; or stay on 127.0.0.1 and use: ssh -L",
        )
    call.console.note(
        "WARNING: listening beyond this machine without HTTPS. Anyone who reads the traffic gets the token and can "
        "run commands as you.",
        "insecure",
    )


def _in_url(host: str, address: str) -> str:
    """The host part of the address to type: the given name, or this machine's name instead of `0.0.0.0` and `::`."""
    name = host.strip("[]")
    if name in ("0.0.0.0", "::", ""):
        name = socket.gethostname() if name else address
    return f"[{name}]" if ":" in name else name


def _say(call: Call, url: str, public: PublicUrl | None, token: str) -> None:
    used = public.origin + public.path if public else url
    login = f"{used}/login?{urlencode({'token': token})}"
    console = call.console
    if console.as_json:
        console.json({"url": url, "public_url": used if public else None, "login": login})
    else:
        console.print(used if console.quiet else f"serving {url} as {used}" if public else f"serving {url}")
        console.note(f"log in: {login}", "login")
        console.note("Ctrl-C stops the server; workers go on", "how_to_stop")
    console.flush()


def _check_certificate(cert: str, key: str) -> None:
    """Raises `Invalid` if HTTPS cannot use the files, before the server prints its address."""
    import ssl

    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key)
    except OSError as error:  # an SSLError is one
        reason = f"cannot use --cert {cert} with --key {key}: {error.strerror or error}"
        raise Invalid(reason, "name PEM files that belong together") from None


def _server(app: Starlette, cert: str | None, key: str | None) -> uvicorn.Server:
    import uvicorn

    from queuectl.web.app import end_streams

    class Server(uvicorn.Server):
        """Exits with code 0 on a signal, and ends the streams before it waits for requests."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            before = {number: signal.signal(number, self.handle_exit) for number in STOP_SIGNALS}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            end_streams(app)
            await super().shutdown(sockets)

    options: dict[str, Any] = {"ssl_certfile": cert, "ssl_keyfile": key} if cert else {}
    return Server(
        uvicorn.Config(
            app, loop="asyncio", ws="none", lifespan="on", log_config=None, access_log=False, server_header=False,
            proxy_headers=False, timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=CLOSE_WITHIN_S, **options,
        )
    )  # fmt: skip
