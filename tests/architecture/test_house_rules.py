"""Rules of the house that neither the type checker nor the import linter can see."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.store.shared.migrations import FIRST_SHARED, SQL_FOLDER, numbered
from queuectl.store.shared.rows import named_queries
from tests.architecture import lifecycle_diagram

SRC = Path(__file__).parents[2] / "src" / "queuectl"
MODULES = sorted(SRC.rglob("*.py"))

MODULE_LINES_MAX, CLASS_LINES_MAX, FUNCTION_LINES_MAX = 400, 250, 50


def name_of(path: Path) -> str:
    return str(path.relative_to(SRC))


def large_parts(path: Path) -> Iterator[str]:
    """The module itself, its classes and its functions, as far as they are too large."""
    text = path.read_text()
    if len(text.splitlines()) > MODULE_LINES_MAX:
        yield name_of(path)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            most = CLASS_LINES_MAX if isinstance(node, ast.ClassDef) else FUNCTION_LINES_MAX
            assert node.end_lineno is not None
            if node.end_lineno - node.lineno >= most:
                yield f"{name_of(path)}: {node.name}"


def test_modules_classes_and_functions_stay_small() -> None:
    assert not [part for path in MODULES for part in large_parts(path)]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_it_owns(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not tree.body or ast.get_docstring(tree) or path.name in ("__init__.py", "__main__.py")


def test_fields_of_named_tuples_are_annotated_with_text() -> None:
    """`typed.NamedTuple` finds its fields there in every Python; from 3.14 on, other annotations come later."""
    texts = {name_of(path): path.read_text() for path in MODULES}
    lazy = [name for name, text in texts.items() if "from __future__ import annotations\n" not in text]
    assert [name for name in lazy if "(NamedTuple" in texts[name]] == []


def test_no_sql_decides_a_state() -> None:
    """Only the claim sets one, which a test holds equal to the lifecycle; others write what the lifecycle said."""
    deciding = set()
    life = "state = new.state"  # among the columns that change in a job's life
    for file in Path(SQL_FOLDER).rglob("queries.sql"):
        for name, query in named_queries(file.read_text(), life=life, life_set=life).items():
            changes = re.search(r"\bSET\b(.*?)\bWHERE\b", query, re.DOTALL)
            if changes and re.search(r"\bstate\s*=", changes[1]):
                deciding.add(name)
            assert not re.search(r"\bCASE\b", query)
    assert deciding == {"claim", "claim_taken", "write_job", "write_alike"}  # the second is how PostgreSQL's claims end
    for path in MODULES:
        assert not re.search(r"\bSET\b[^\"']*\bstate\s*=", path.read_text()), f"{path} sets a state by SQL"


def test_every_step_of_a_schema_has_a_number_of_its_own() -> None:
    for dialect, own in (("sqlite", 5), ("postgres", 8)):
        files = [*Path(SQL_FOLDER, dialect).glob("[0-9]*"), *Path(SQL_FOLDER).glob("[0-9]*")]
        numbers = [*range(1, own + 1), *range(FIRST_SHARED, FIRST_SHARED + len(files) - own)]
        assert list(numbered(dialect)) == sorted(int(file.name[:4]) for file in files) == numbers


def modules_with(pattern: str) -> set[str]:
    return {name_of(path) for path in MODULES if re.search(pattern, path.read_text(), re.MULTILINE)}


def test_chance_comes_in_through_one_module() -> None:
    assert modules_with(r"\burandom\(|^\s*(import|from) (random|secrets|uuid)\b") == {"ids.py"}


def test_only_named_modules_read_the_wall_clock() -> None:
    """The process side has no store to ask: it notes when commands begin and end."""
    watching = {
        "engine/supervise/supervisor.py",
        "engine/supervise/execution.py",
        "engine/dispatch/report.py",
        "engine/dispatch/host.py",
        "engine/supervise/cgroups.py",
        "engine/webhook.py",
    }
    assert modules_with(r"\btime\.time\(|datetime\.(utc)?now\(|\.today\(") - watching == {"clock.py"}


@pytest.mark.parametrize("room", ["cli", "web"])
def test_interfaces_reach_a_store_only_through_a_client(room: str) -> None:
    for path in (SRC / room).rglob("*.py"):
        looked_up = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
        touched = [node.lineno for node in looked_up if node.attr in ("store", "_store")]
        assert not touched, f"{path}: ask the client, not its store, in lines {touched}"


def test_the_drawn_life_of_a_job_is_the_one_it_has() -> None:
    again = "draw it anew with: python -m tests.architecture.lifecycle_diagram"
    assert lifecycle_diagram.PAGE.read_text() == lifecycle_diagram.page(), again
    assert lifecycle_diagram.PICTURE.read_text() == lifecycle_diagram.drawn(), again


@pytest.mark.parametrize(
    ("loaded", "needless"),
    [
        (
            "queuectl.cli.worker, queuectl.bootstrap, queuectl.store.sqlite.store",
            {"queuectl.client.facade", "queuectl.engine.dispatch.fires", "zoneinfo", "hashlib"},
        ),
        ("queuectl.engine.supervise.supervisor", {"datetime", "queuectl.domain.job", "queuectl.store.port"}),
    ],
)
def test_a_waiting_worker_holds_no_module_it_does_not_need(loaded: str, needless: set[str]) -> None:
    program = f"import sys; sys.path.insert(0, {str(SRC.parent)!r}); import {loaded}; print(*sys.modules)"
    names = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True).stdout
    assert not set(names.split()) & {"dataclasses", "inspect", "shutil", "traceback", *needless}
