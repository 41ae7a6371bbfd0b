"""queuectl works as it is given to people: as a wheel, from the source distribution, and as one file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from fcntl import LOCK_EX, flock
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest

from archive.build import build, package_in
from queuectl.cli.commands import commands
from tests.workshop import clean_environment

ROOT = Path(__file__).parents[2]


class Installed:
    """A queuectl, and a folder with a space in its name for its store."""

    def __init__(self, folder: Path, words: list[str]) -> None:
        self.folder, self.words = folder, words
        self.environment = clean_environment(QUEUECTL_DB=str(folder / "queue.db"), HOME=str(folder))
        self.environment.pop("PYTHONPATH", None)

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            [*self.words, *words], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def works(self) -> None:
        """Enqueues, retries, logs, runs a hook, starts a worker in the background, and serves."""
        self("enqueue", "--id", "good", "-c", 'echo "hello $QUEUECTL_ATTEMPT"')
        flaky = "test $QUEUECTL_ATTEMPT = 2"
        self("enqueue", "--id", "flaky", "--backoff-initial", "0.01", "--on-success", "touch hooked", "-c", flaky)
        self("worker", "start", "--drain")
        assert self("logs", "good") == "hello 1\n"
        (job,) = json.loads(self("show", "flaky", "--json"))
        assert (job["state"], [each["exit_code"] for each in job["executions"]]) == ("completed", [1, 0])
        assert (self.folder / "hooked").exists()
        self("worker", "start", "--detach", "--name", "night")
        try:
            self("run", "--quiet", "--", "true")
        finally:
            assert self("worker", "stop") == "stopped night\n"
        self.serves()

    def serves(self) -> None:
        command = [*self.words, "--json", "serve", "--port", "0"]
        with subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE) as server:
            try:
                assert server.stdout
                place = json.loads(b"".join(iter(server.stdout.readline, b"}\n")) + b"}")
                with httpx.Client(follow_redirects=True) as browser:
                    page = browser.get(place["login"]).text
                    assert "flaky" in browser.get(f"{place['url']}/jobs").text
                    style = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
                    assert browser.get(place["url"] + style).headers["content-type"].startswith("text/css")
            finally:
                server.terminate()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and a source distribution: one for all processes of a test run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made here"
    with folder.with_suffix(".gate").open("w") as gate:
        flock(gate, LOCK_EX)
        if not folder.exists():
            parts = folder.with_suffix(".parts")
            words = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", str(parts)]
            subprocess.run(words, check=True, cwd=ROOT, capture_output=True)
            parts.rename(folder)
    return folder


@pytest.fixture
def installed(made: Path, tmp_path: Path) -> Installed:
    """The wheel in a new environment, which also finds the libraries of this one."""
    folder = tmp_path / "my environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    (wheel,) = made.glob("*.whl")
    install = ["--python", str(python), "install", "--quiet", "--no-index", "--no-deps", "--no-compile", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *install], check=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(tmp_path, [str(folder / "bin" / "queuectl")])


def test_a_wheel_in_a_clean_environment_works(installed: Installed) -> None:
    home = Path(installed.words[0]).parents[1]
    where = [str(home / "bin" / "python"), "-c", "import queuectl; print(queuectl.__file__)"]
    assert subprocess.run(where, capture_output=True, text=True, check=True).stdout.startswith(str(home))
    installed.works()
    pages = {path.name for path in (home / "share" / "man" / "man1").iterdir()}
    assert pages == {"queuectl.1", *(f"queuectl-{name.replace(' ', '-')}.1" for name in commands())}
    (schema,) = home.rglob("schema/1/jobs.json")
    assert json.loads(schema.read_text())["$id"] == "urn:queuectl:schema:1:jobs"


def test_a_wheel_made_from_the_source_distribution_is_the_same(made: Path, tmp_path: Path) -> None:
    (sdist,), (wheel,) = made.glob("*.tar.gz"), made.glob("*.whl")
    subprocess.run(["tar", "-xf", str(sdist), "-C", str(tmp_path)], check=True)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(words, check=True, cwd=folder, capture_output=True)
    with ZipFile(wheel) as one, ZipFile(tmp_path / wheel.name) as other:
        assert {name: one.read(name) for name in one.namelist()} == {
            name: other.read(name) for name in other.namelist()
        }


def test_one_file_works(made: Path, tmp_path: Path) -> None:
    file = tmp_path / "one file" / "queuectl.pyz"
    file.parent.mkdir()
    build(file, package_in(made))
    queuectl = Installed(tmp_path / "one file", [sys.executable, "queuectl.pyz"])
    where = queuectl("service", "print")
    assert f'"{file}"' in where or str(file) in where.replace("\\x20", " ")
    queuectl.works()
    assert not (file.parent / "__pycache__").exists()


def test_one_file_loads_nothing_that_is_slow_to_load(made: Path, tmp_path: Path) -> None:
    build(tmp_path / "queuectl.pyz", package_in(made))
    program = (
        "import sys, zipimport; loaded = set(sys.modules); sys.path.insert(0, sys.argv[1]); import queuectl_start\n"
        "import queuectl.cli.main; print(*(sys.modules.keys() - loaded))"
    )
    words = [sys.executable, "-I", "-S", "-c", program, str(tmp_path / "queuectl.pyz")]
    loaded = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    assert "queuectl.cli.main" in loaded
    assert not {"typing", "tempfile", "pathlib", "importlib.util", "importlib.abc"} & set(loaded)


def test_one_file_of_another_python_works(made: Path, tmp_path: Path) -> None:
    build(tmp_path / "queuectl.pyz", package_in(made), magic=b"of another Python")
    queuectl = Installed(tmp_path, [sys.executable, "queuectl.pyz"])
    queuectl("enqueue", "--id", "good", "--", "echo", "hello")
    queuectl("worker", "start", "--drain")
    assert queuectl("logs", "good") == "hello\n"


def test_an_archive_that_is_replaced_under_a_program_is_not_read(made: Path, tmp_path: Path) -> None:
    file = tmp_path / "queuectl.pyz"
    build(file, package_in(made))
    program = (
        "import sys, os, shutil; sys.path.insert(0, sys.argv[1]); import queuectl_start, queuectl.domain.job\n"
        "shutil.copy(sys.argv[1], sys.argv[1] + '2'); os.replace(sys.argv[1] + '2', sys.argv[1])\n"
        "import queuectl.places"
    )
    words = [sys.executable, "-I", "-S", "-c", program, str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert f"ImportError: {file} was replaced; start again" in done.stderr
