"""The page of the audit log: what was done on the pages and over the API, of any service."""

from __future__ import annotations

from support.admin_api import ADMIN, READER, add, service_at
from support.dashboard_visitor import Visitor
from support.http_requests import Api
from support.processors import QUEUE, Harness, eventually


async def test_changes_of_every_interface_and_service_are_on_one_page(harness: Harness) -> None:
    async with service_at(harness.url) as one, service_at(harness.url) as other:
        admin, reader = Visitor(one.http_port), Visitor(other.http_port)
        await admin.log_in(ADMIN)
        await reader.log_in(READER)
        assert "Nobody has changed anything yet." in (await reader.get("changes")).text
        api = Api(other.http_port, ADMIN)
        await api.post("/service/pause")
        job_id = await add(api, jobId="<b>first</b>")
        page = await admin.get("job", queue=QUEUE, job=job_id)
        await admin.send(page.form("change-job"), ("action", "reveal"))
        await admin.send((await admin.get("queue", queue=QUEUE)).form("change-queue"), ("action", "pause"))

        async def rows() -> list[str] | None:
            text = (await reader.get("changes")).text
            found = text.split("<tr>")[2:]
            return found if len(found) == 3 else None

        paused, revealed, added = await eventually(rows, "three changes are there")
        assert all(">admin</th>" in row for row in (paused, revealed, added))
        assert "<td>pause</td>" in paused
        assert "<td>reveal</td>" in revealed
        assert "&lt;b&gt;first&lt;/b&gt;" in revealed
        assert "<td>add</td>" in added
