"""An agent's session by a script, in twenty calls: builds, reads the failure, mends it, and runs the same job again;
then looks at a job that prints much, and at all the others.

python -m tests.mcp.session        writes the first part into docs/agents.md
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.types import TextContent

from tests.workshop import Worker, clean_environment

PAGE = Path(__file__).parents[2] / "docs" / "agents.md"
BEGIN, END = "<!-- session -->\n", "<!-- end of session -->\n"

BUILD = """\
echo "compiling main.c"
test -f main.h || { echo "main.c:1: main.h: No such file or directory" >&2; exit 2; }
echo "ok, 1 object"
"""
TOLD, IN_ALL = 8, 20
"""How many calls are on the page, and how many there are."""
ANSWER_MAX = 8000


async def played(db: Path, folder: Path, mode: str = "auto") -> list[tuple[str, dict[str, Any], Any]]:
    """Each call: the tool, its arguments, and its answer; of an error the text."""
    calls: list[tuple[str, dict[str, Any], Any]] = []
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "queuectl", "--db", str(db), "mcp"], env=clean_environment(), cwd=folder
    )
    async with Client(server, mode=mode) as client:

        async def call(tool: str, **arguments: Any) -> Any:
            found = await client.call_tool(tool, arguments)
            assert len(found.model_dump_json(by_alias=True, exclude_none=True)) < ANSWER_MAX
            text = found.content[0]
            assert isinstance(text, TextContent)
            answer = text.text if found.is_error else found.structured_content
            calls.append((tool, arguments, answer))
            return answer

        await call("status")
        await call("enqueue", id="build-1", command="sh build.sh", max_retries=0)
        await call("wait", ids=["build-1"])
        await call("logs", id="build-1")
        (folder / "main.h").touch()
        await call("retry", ids=["build-1"])
        await call("wait", ids=["build-1"])
        await call("enqueue", id="build-1", command="sh build.sh", max_retries=0)
        await call("show", id="build-2")

        noisy = f"seq 200000; echo {'x' * 3000}; exit 1"
        await call("enqueue", id="tests", command=noisy, max_retries=0, batch="night")
        (failed,) = (await call("wait", ids=["tests"]))["jobs"]
        assert failed["output_tail"].endswith("x…")
        assert (await call("logs", id="tests", from_byte=0))["next"] > 0
        for number in range(3):
            await call("enqueue", id=f"later-{number}", command=f"echo {'y' * 3000}", delay="1h")
        assert not (await call("wait", ids=["later-0"], timeout=0))["done"]
        assert "scheduled" in (await call("explain", id="later-0"))["explanation"]
        assert (await call("cancel", ids=["later-1", "later-2"]))["changed"] == 2
        assert len((await call("list", state=["pending"]))["jobs"]) == 1
        assert (await call("batches", name="night"))["batches"][0]["failed"] == 1
        await call("schedules")
    assert len(calls) == IN_ALL
    return calls


def played_here(mode: str = "auto") -> list[tuple[str, dict[str, Any], Any]]:
    """The session on a new store, with a worker."""
    with tempfile.TemporaryDirectory() as name:
        folder, db = Path(name), Path(name) / "jobs.db"
        (folder / "build.sh").write_text(BUILD)
        worker = Worker(db)
        try:
            return asyncio.run(played(db, folder, mode))
        finally:
            worker.stop()
            worker.close()


def written(calls: list[tuple[str, dict[str, Any], Any]]) -> str:
    """The session for readers; times and names of the moment are the same each time."""
    parts = []
    for tool, arguments, answer in calls[:TOLD]:
        shown = answer if isinstance(answer, str) else json.dumps(answer, indent=1, ensure_ascii=False)
        given = f" {json.dumps(arguments)}" if arguments else ""
        parts.append(f"> {tool}{given}\n{shown}\n")
    text = re.sub(r"20\d\d-\d\d-\d\dT[\d:.]+Z", "2026-11-29T02:00:00.000000Z", "\n".join(parts))
    text = re.sub(r"--db \S+", "--db /home/me/project/.queuectl/queuectl.db", text)
    text = re.sub(r'("duration": )[\d.e-]+', r"\g<1>0.004", text)
    return re.sub(r'("name": )"[^"]+"', r'\g<1>"laptop-1"', text)


def main() -> None:
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}```\n{written(played_here())}```\n{END}{after}")


if __name__ == "__main__":
    main()
