"""What a PostgreSQL store is built on: transactions, named queries, specs."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from hashlib import sha256
from math import inf

from queuectl import ids
from queuectl.clock import Clock, SystemClock, boottime
from queuectl.domain.errors import OutcomeUnknown, StoreUnavailable
from queuectl.domain.job import Job, JobState, Spec
from queuectl.store.postgres.address import Address
from queuectl.store.postgres.connection import ABANDONED, DURABLE, Line
from queuectl.store.postgres.dialect import POSTGRES
from queuectl.store.postgres.errors import translated
from queuectl.store.postgres.listener import notice
from queuectl.store.postgres.schema import Identity, bring_up_to_date, find_identity, open_schema
from queuectl.store.postgres.text import array
from queuectl.store.shared import migrations, rows
from queuectl.store.shared.session import Session
from queuectl.store.values import Grip, Superseded, WorkerRow
from queuectl.typed import Any
from queuectl.wire.jobs import spec_to_text

CLOCKS_DRIFT = 0.0002
"""Two clocks drift apart by such a part of the time that passes, at most."""
FOLD_EVERY = 500
"""How many transactions of one store pass between two folds of the counts."""

PEOPLE_ANSWER_WITHIN_S = 60.0
"""Large requests take time, but no command waits forever."""
PLANS = dict.fromkeys(("enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "jit"), "off")
"""We find the rows that we write by an index, one by one. Otherwise a planner with outdated statistics may read the
whole table at every claim."""

KEYS = {"start_attempt": 2, "end_attempt": 2, "write_output": 3}
"""How many of the first columns are the key of a row. One statement may write each row only once."""


TYPES = {"bool": "boolean", "int": "bigint", "float": "double precision", "Spec": "bigint"}
"""The column's type by the type of a job's attribute, which may be None too. All others are text."""


def _arrays(columns: Iterable[str]) -> str:
    """A parameter for each of these columns of jobs: its values as an array."""
    kinds: dict[str, str] = {**Job.__annotations__, "ready": "bool", "due_at": "float"}
    types = [TYPES.get(kinds.get(name, "").removesuffix(" | None"), "text") for name in columns]
    return ", ".join(f"%s::{type_}[]" for type_ in types)


@cache
def _queries(schema: str) -> dict[str, str]:
    text = migrations.sql_text("postgres/queries.sql")
    fields = WorkerRow._fields
    names = {
        "job_columns": ", ".join(f"jobs.{name}" for name in rows.JOB_COLUMNS.split(", ")),
        "life": ", ".join(rows.LIFE), "life_set": ", ".join(f"{name} = new.{name}" for name in rows.LIFE),
        "edited": ", ".join(rows.EDITED), "edited_arrays": _arrays(rows.EDITED),
        "edited_set": ", ".join(f"{name} = new.{name}" for name in rows.EDITED),
        "life_arrays": _arrays(rows.LIFE), "born": ", ".join(rows.BORN), "born_arrays": _arrays(rows.BORN),
        "worker_columns": ", ".join(fields), "worker_marks": ", ".join(f"%({name})s" for name in fields),
    }  # fmt: skip
    within = {
        name: rows.named_queries(text)[name] for name in ("claim_taken", "has_claimable", "next_due", "ready_queues")
    }
    return dict(rows.named_queries(text, **within, schema=f'"{schema}"', durable=DURABLE, **names))


def _key_of_batch(schema: str, name: str, joined: bool) -> int:
    """The number of a batch's lock. Many batches share one, since a server has room for only some thousands. The SQL
    function `enqueue` computes the same."""
    kind = "batches joined" if joined else "batches"
    digests = sha256(f"{schema} {kind}".encode()).digest()[:7] + sha256(name.encode()).digest()[:1]
    return int.from_bytes(digests, signed=True)


class _TakenBack(Exception):
    """Ends a transaction that was only a test."""


class PostgresSession(Session):
    """A connection to one store. `_tells`: how many jobs this transaction makes claimable, None if others need not hear
    of it. `_tells_more`: what else it does concerns others, too."""

    _dialect = POSTGRES
    others_share = 0.75  # they write meanwhile, too

    def __init__(self, address: Address, clock: Clock | None, lock_timeout_s: float, make: bool) -> None:
        """`clock` stands in for the server's, in tests."""
        self._address = address
        self._clock = clock
        self._ahead_s, self._doubt_s, self._clock_set_at = 0.0, inf, 0.0
        self._sql = _queries(address.schema)
        self._me = ids.random_id(10)
        self._channel = f"queuectl_{address.schema}"
        self._lock_timeout_s = lock_timeout_s
        self._transaction_max_s: float | None = None
        self._line = Line(address)
        self._depth, self._transactions = 0, 0
        self._tells: int | None = None
        self._tells_more = False
        self._checked: set[Grip] = set()
        self._holds_gates = self._shuts_late = False
        self._freed: set[str] = set()
        self._left: set[str] = set()
        self._waits: list[Any] = []  # answers: whether somebody waits for what this transaction frees
        self._keys = {name: zlib.crc32(f"queuectl {name}".encode()) >> 1 for name in ("claims", "gates")}
        self._keys["store"] = zlib.crc32(address.schema.encode()) >> 1
        self._counted: Counter[tuple[str, str]] = Counter()
        self._turned: dict[int, Job] = {}
        self._newly_listed = set[int]()
        self._failing = set[str]()
        self._specs: dict[int, Spec] = {}
        self._settings: dict[str, str] = {}
        try:
            self._meet(open_schema(self._line, address, make))
            self._line.answer_within_s = PEOPLE_ANSWER_WITHIN_S
            self._greet()
        except BaseException:
            self._line.close()
            raise

    def _meet(self, identity: Identity) -> None:
        self._identity, self._behind = identity, identity.is_behind
        self._stand_ins = migrations.stand_ins("postgres", identity.schema) if self._behind else {}

    def _look_at_schema(self) -> None:
        found = find_identity(self._line, self._address)
        if found.schema != self._identity.schema:
            self._meet(found)

    def schema_version(self) -> int:
        return self._identity.schema

    def _migrate(self) -> None:
        self._meet(bring_up_to_date(self._line, self._address))

    def _greet(self) -> None:
        """Asks for the server's time and how durable commits must be."""
        asked_at = boottime()
        ((now, _, _, durability),) = self.read("hello")
        self._set_clock(now, asked_at)
        self._settings = {**PLANS, **ABANDONED, "lock_timeout": f"{max(1, round(self._lock_timeout_s * 1000))}ms"}
        if self._transaction_max_s is not None and self._line.open().info.server_version >= 170000:
            self._settings["transaction_timeout"] = f"{round(self._transaction_max_s * 1000)}ms"
        if durability == "normal":
            self._settings["synchronous_commit"] = "off"

    def _set_clock(self, now: float, asked_at: float) -> None:
        """`now` is the server's time at some moment between `asked_at` and the present. A slow answer says little, and
        replaces no better one that may still be right."""
        answered_at = boottime()
        ahead_s, doubt_s = now - (asked_at + answered_at) / 2, (answered_at - asked_at) / 2
        known_within_s = self._doubt_s + CLOCKS_DRIFT * (answered_at - self._clock_set_at)
        if doubt_s <= known_within_s or abs(ahead_s - self._ahead_s) > doubt_s + known_within_s:
            self._ahead_s, self._doubt_s, self._clock_set_at = ahead_s, doubt_s, answered_at

    def now(self) -> float:
        return boottime() + self._ahead_s if self._clock is None else self._clock.now()

    def of_here(self, at: float) -> float:
        return at + self.now() - SystemClock().now() if self._clock is None else at

    # --- transactions -----------------------------------------------------------------------

    def sync(self) -> None:
        pass  # every commit is

    @contextmanager
    def transaction(self, *, synced: bool = True, pipelined: bool = True) -> Iterator[None]:
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        self.bring_up_to_date()
        self._fold_now_and_then()
        try:
            with translated(self._address), self._line.transaction(self._settings, pipelined):
                self._depth, self._cancelled = 1, ()
                yield
                self._settle_ends()
                self._tell_of_ends()
                self._write_counts()
                if freed := sum(len(each.fetchall()) for each in self._waits):
                    self._announce(freed)
                if self._tells is not None:
                    told = notice(self._me, self._tells, self._tells_more)
                    self._line.execute("SELECT pg_notify(%s, %s)", (self._channel, told))
        except StoreUnavailable as error:
            if not self._line.in_doubt:
                raise
            raise OutcomeUnknown(
                f"{error.message}; not known whether the change was made", "look before you repeat it"
            ) from error
        finally:
            self._depth, self._holds_gates, self._shuts_late = 0, False, False
            self._tells, self._tells_more = None, False
            self._checked.clear()
            self._freed.clear()
            self._left.clear()
            self._waits.clear()
            self._counted.clear()
            self._turned.clear()
            self._newly_listed.clear()
            self._failing.clear()

    def _try_write(self) -> None:
        """Writes and rolls back: a commit might wait for a standby."""
        names = ("workers", "jobs", "attempts", "outputs", "specs", "uses", "counts")
        tables = ", ".join(f'"{self._address.schema}".{name}' for name in names)
        with suppress(_TakenBack), self.transaction():
            self._line.execute(f"LOCK TABLE {tables} IN ROW EXCLUSIVE MODE")
            self._send_rows("count", [("", JobState.PENDING.value, 0)])
            self._select("SELECT 1")  # waits for all three answers
            raise _TakenBack

    def _tell_of_ends(self) -> None:
        """Has those told who wait for what this transaction frees."""

    def _hold_gates(self) -> None:
        if not self._holds_gates:
            self.send("hold_gates", gates=self._keys["gates"], store=self._keys["store"])
            self._holds_gates = True

    def _shut_gates(self) -> None:
        self.send("shut_gates", claims=self._keys["claims"], store=self._keys["store"])
        self._hold_gates()

    def _have_patience(self, seconds: float | None) -> None:
        usual = self._settings["lock_timeout"]
        value = usual if seconds is None else f"{round(seconds * 1000)}ms"
        self._line.execute("SELECT set_config('lock_timeout', %s, true)", [value])

    def _turn_batches(self, names: Collection[str], *, joined: bool = False) -> None:
        self.send("turn_batches", keys=sorted({_key_of_batch(self._address.schema, name, joined) for name in names}))

    def _ask_if_calm(self, batch: str, *, joined: bool = False) -> Callable[[], bool]:
        asked = self.send("is_calm", key=_key_of_batch(self._address.schema, batch, joined))
        return lambda: asked.fetchone() is not None

    def _write_counts(self) -> None:
        changes = [(*key, change) for key, change in self._counted.items() if change]
        if changes:
            self._send_rows("count", changes)

    def _fold_now_and_then(self) -> None:
        self._transactions += 1
        if self._transactions % FOLD_EVERY == 0:
            self.fold_counts()

    def fold_counts(self) -> None:
        """Replaces the many rows of counts that transactions have left by few."""
        with self.transaction():
            self.send("fold_counts")

    def send(self, query: str, **parameters: Any) -> Any:
        """Only fetching waits for the result."""
        return self._line.execute(self._sql[query], parameters)

    def _send_rows(self, query: str, values: Sequence[tuple[object, ...]]) -> Any:
        """One statement for all rows, with an array for each column. Of rows with the same key the last counts."""
        last = {row[: KEYS[query]]: row for row in values}.values() if query in KEYS else values
        return self._line.execute(self._sql[query], [array(column) for column in zip(*last, strict=True)])

    def read(self, query: str, **parameters: Any) -> list[Any]:
        with translated(self._address):
            return self._line.fetch(self._as_of(self._sql[query]), parameters)

    def _text(self, text: str) -> str:
        """The statement as the server reads it, for this store's schema."""
        return self._as_of(text).replace("?", "%s").replace("{schema}", f'"{self._address.schema}"')

    def _select(self, text: str, values: Sequence[object] = ()) -> list[Any]:
        with translated(self._address):
            return self._line.fetch(self._text(text), list(values))

    def _execute(self, text: str, values: Sequence[object] = ()) -> None:
        self._line.execute(self._text(text), list(values))

    def _snapshot(self) -> AbstractContextManager[None]:
        return nullcontext()  # each query sees its own moment, and `_made` allows for that

    def _announce(self, jobs: int | None = None) -> None:
        self._tells = (self._tells or 0) + (jobs or 0)
        self._tells_more = self._tells_more or jobs is None

    def _home(self) -> str:
        return self._identity.home

    def _asked(self, grip: Grip) -> Any:
        """Asks once in a transaction whether the supervisor is still ours. `_check` waits for the answer."""
        return None if grip in self._checked else self.send("drives", **grip._asdict())

    def _check(self, grip: Grip, asked: Any = None) -> None:
        """Raises `Superseded` if the supervisor was taken over."""
        if grip in self._checked:
            return
        asked = asked or self._asked(grip)
        if asked.fetchone() is None:
            raise Superseded(f"worker {grip.worker} is driven by another process now")
        self._checked.add(grip)

    def _keep_specs(self, specs: Iterable[Spec]) -> dict[Spec, int]:
        wanted = {spec: spec_to_text(spec) for spec in specs}
        texts = {sha256(text.encode()).digest(): text for text in wanted.values()}
        known = self._find_specs(texts)
        if new := [(digest, text, True) for digest, text in texts.items() if text not in known]:
            self._send_rows("add_spec", new)
            known |= self._find_specs(texts)
        if late := [text for text in texts.values() if text not in known]:
            # An open transaction is adding them, perhaps an application's: nobody may wait for that.
            own = {sha256(ids.random_id(32).encode()).digest(): text for text in late}
            self._send_rows("add_spec", [(digest, text, False) for digest, text in own.items()])
            known |= self._find_specs(own)
        return {spec: known[text] for spec, text in wanted.items()}

    def _find_specs(self, texts: Mapping[bytes, str]) -> dict[str, int]:
        found = self.send("find_specs", digests=list(texts)).fetchall()
        return {texts[digest]: spec_id for spec_id, digest in found}
