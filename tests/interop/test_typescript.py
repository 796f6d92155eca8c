"""The types that ``auth-worker types`` writes, with the real compiler and a Node producer that uses them."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path

import pytest

from interop.node_side import NODE_MODULES, NodeSide
from support import wire_types
from support.command_line import environment
from support.needed import skip_or_fail
from support.processors import Harness
from support.task_services import completed, working
from support.warm_programs import PROGRAM

QUEUE = wire_types.queue.name
COMPILER = NODE_MODULES / ".bin" / "tsc"
OPTIONS = "--strict --exactOptionalPropertyTypes --skipLibCheck --target es2022 --module nodenext --types node"
PRODUCER = """\
import { Queue } from "bullmq";
import type { DataOf, TaskQueue, Tasks } from "./tasks.mjs";

const [host, port] = process.argv.slice(2);
const connection = { host: host!, port: Number(port) };
const queue: TaskQueue<"wire-types"> = new Queue("wire-types", { connection });
const data: DataOf<Tasks["wire-types"]["sell"]> = { colour: "red", price: "1.10", size: { width: 3 } };
const sold = await queue.add("sell", data, { attempts: 2 });
const [kept] = await queue.addBulk([{ name: "scalars", data: {
  id: "12345678-1234-5678-1234-567812345678", price: 2, colour: "it's \\"blue\\"", level: 2, raw: "/w==",
} }]);
await queue.add("objects", {
  node: { value: 1, children: [{ value: 2 }] },
  pet: { kind: "dog", good: true },
  page: { items: [{ width: 1, height: 2 }] },
  open: { name: "a", more: [1] },
  aliased: { "first-name": "Ada" },
  size: { width: 1 },
  options: { fast: true },
  removed: { id: 1 },
  record: { id: 2 },
}, { jobId: "objects" });
await queue.add("containers", {
  names: ["a"], several: [1, null], unique: [1], pair: [1, "a"], many: [1, 2], empty: [],
  by_name: { a: { width: 1 } }, by_number: { 1: ["red"] }, grid: [[1.5]],
}, { jobId: "containers" });
await queue.add("a b/c*/d", { mode: 3 }, { jobId: "optional" });
export const price = (job: typeof sold): string => job.returnvalue.price;
console.log(JSON.stringify([sold.id, kept!.id]));
await queue.close();
"""
WRONG = """\
import type { TaskQueue } from "./tasks.mjs";
declare const queue: TaskQueue<"wire-types">;
const size = { width: 3 };
queue.add("sell", { colour: "green", price: 1, size }); // no such colour
queue.add("sell", { colour: "red", price: true, size }); // a wrong type
queue.add("sell", { colour: "red", price: 1 }); // a field is missing
queue.add("sell", { colour: "red", price: 1, size, extra: 1 }); // one too many
queue.add("sold", { colour: "red", price: 1, size }); // no such task
queue.add("silent", { a: 1 }); // takes nothing
queue.addBulk([{ name: "moments", data: { at: 5 } }]); // a date is a text
queue.add("a b/c*/d", { mode: "off", pets: [{ good: true }] }); // the tag is missing
queue.add("a b/c*/d", { mode: 4 }); // not one of the literals
queue.add("sell", { colour: "red", price: 1, size }).then((job) => job.returnvalue.cost); // no such field
declare const other: TaskQueue<"other">; // no such queue
"""


@pytest.fixture
def compiler(node: NodeSide) -> Path:
    """The compiler, which is installed with the packages of Node."""
    if not COMPILER.exists():
        skip_or_fail("the tests of types need the compiler of TypeScript", "run `make interop`")
    return COMPILER


@pytest.fixture
def complaints(compiler: Path, tmp_path: Path) -> list[tuple[str, int]]:
    """The places that the compiler complains about: file and line. What it has compiled is in ``tmp_path``."""
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    (tmp_path / "producer.mts").write_text(PRODUCER)
    (tmp_path / "wrong.mts").write_text(WRONG)
    subprocess.run(
        [str(PROGRAM), "types", "support.wire_types:service", "--ts", "--output", str(tmp_path / "tasks.mts")],
        env=environment() | {"PYTHONPATH": str(Path(__file__).parents[1])},
        timeout=60,
        check=True,
    )
    compiled = subprocess.run(
        [str(compiler), *OPTIONS.split(), "producer.mts", "wrong.mts"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    places = re.findall(r"^(\S+)\((\d+),\d+\): error", compiled.stdout, re.MULTILINE)
    return sorted((file, int(line)) for file, line in places)


@pytest.mark.timeout(300)
async def test_the_types_compile_and_what_they_allow_is_what_tasks_take(
    complaints: list[tuple[str, int]], harness: Harness, tmp_path: Path
) -> None:
    wrong = [number for number, line in enumerate(WRONG.splitlines(), 1) if "//" in line]
    assert complaints == [("wrong.mts", line) for line in wrong]

    async with working(harness, wire_types.queue):
        host, port = harness.url.removeprefix("redis://").partition("/")[0].split(":")
        producer = await asyncio.create_subprocess_exec(
            "node", "producer.mjs", host, port, cwd=tmp_path, stdout=subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(producer.communicate(), 60)
        sold, kept = json.loads(output)
        receipt = {"price": "3.30", "colour": "red", "at": "2026-01-02T03:04:05Z"}
        assert await completed(harness, sold, QUEUE) == receipt
        assert await completed(harness, kept, QUEUE) == "_w=="
        assert (await completed(harness, "objects", QUEUE))["children"] == [{"value": 2, "children": []}]
        assert await completed(harness, "containers", QUEUE) == {}
        assert await completed(harness, "optional", QUEUE) == 1
