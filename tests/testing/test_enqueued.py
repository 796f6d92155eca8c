"""What a test's code enqueues stays in memory, whatever it enqueues with, and can be told apart and shown."""

from __future__ import annotations

import asyncio
import threading
from datetime import date
from unittest.mock import ANY

import pytest

from auth_worker import ConfigurationError, InvalidJobDataError, JobQueue
from auth_worker.flow import Flow
from auth_worker.testing import MemoryBroker
from support.tested_tasks import ADA, User, count_words, flows, images, mail, welcome


async def test_every_producer_of_the_application_is_caught(jobs: MemoryBroker) -> None:
    await welcome.enqueue(to="ada@example.org", user=ADA)
    await images.add("resize", {"width": 640})
    await mail.jobs.add("raw", {})
    await flows.add(Flow("report", queue="reports", children=[Flow("page", queue="pages")]))
    await JobQueue("newQueue", "redis://127.0.0.1:1").add("new")
    assert [(job.queue_name, job.name) for job in jobs.enqueued()] == [
        ("mailQueue", "welcome"),
        ("imageQueue", "resize"),
        ("mailQueue", "raw"),
        ("reports", "report"),
        ("pages", "page"),
        ("newQueue", "new"),
    ]


def test_code_without_an_event_loop_is_caught_in_every_thread(jobs: MemoryBroker) -> None:
    thread = threading.Thread(target=lambda: count_words.enqueue_sync("a b c"))
    thread.start()
    thread.join()
    images.sync.add_bulk([{"name": "resize", "data": {"width": width}} for width in (1, 2)])
    asyncio.run(count_words.enqueue("d"))
    assert [job.data for job in jobs.enqueued()] == [{"text": "a b c"}, {"width": 1}, {"width": 2}, {"text": "d"}]


async def test_a_job_is_found_by_some_of_its_arguments_as_values_or_as_json(jobs: MemoryBroker) -> None:
    await welcome.enqueue(to="ada@example.org", user=ADA)
    job = jobs.assert_enqueued(welcome, to="ada@example.org")
    assert (job.id, job.state, job.opts) == ("1", "wait", {"attempts": 5})
    jobs.assert_enqueued(welcome, user=User(name="Ada", born=date(1815, 12, 10)))
    jobs.assert_enqueued(welcome, user={"name": "Ada", "born": "1815-12-10"})
    jobs.assert_enqueued("welcome", to=ANY)
    jobs.assert_not_enqueued(welcome, to="bob@example.org")
    jobs.assert_not_enqueued(count_words)


async def test_options_count_where_they_are_expected(jobs: MemoryBroker) -> None:
    await welcome.options(delay=5_000, job_id="welcome-7").enqueue(to="ada@example.org", user=ADA)
    assert jobs.assert_enqueued(welcome).state == "delayed"
    jobs.assert_enqueued(welcome.options(delay=5_000), to="ada@example.org")
    with pytest.raises(AssertionError, match="but option delay is 5000"):
        jobs.assert_enqueued(welcome.options(delay=1_000))


async def test_the_error_shows_what_was_enqueued_and_what_differs(jobs: MemoryBroker) -> None:
    with pytest.raises(AssertionError, match="nothing was enqueued"):
        jobs.assert_enqueued(count_words)
    await count_words.options(delay=1_000).enqueue("one two")
    await images.add("resize", {"width": 640, "text": "x" * 500})
    with pytest.raises(AssertionError) as error:
        jobs.assert_enqueued(count_words, text="three")
    lines = str(error.value).splitlines()
    assert lines[:3] == [
        "no job count_words of queue mailQueue with text='three' was enqueued; enqueued were:",
        '  mailQueue 1 count_words {"text":"one two"} delay=1000 (delayed)',
        "      but text is 'one two'",
    ]
    assert lines[3].startswith('  imageQueue 2 resize {"width":640,"text":"xxx')
    assert len(lines[3]) < 210
    with pytest.raises(AssertionError, match=r"a job was enqueued; enqueued were:\n  mailQueue 1 count_words"):
        jobs.assert_not_enqueued()
    with pytest.raises(AssertionError, match="a job resize with width=640 was enqueued"):
        jobs.assert_not_enqueued("resize", width=640)


async def test_a_long_list_is_cut(jobs: MemoryBroker) -> None:
    await images.add_bulk({"name": "resize", "data": {"width": width}} for width in range(50))
    with pytest.raises(AssertionError, match="and 20 more lines"):
        jobs.assert_enqueued("other")


async def test_a_misspelt_argument_is_an_error_of_the_test(jobs: MemoryBroker) -> None:
    with pytest.raises(TypeError, match="task welcome has no argument too; it has to, user"):
        jobs.assert_enqueued(welcome, too="ada@example.org")


async def test_a_job_that_another_producer_added_badly_is_compared_as_it_is(jobs: MemoryBroker) -> None:
    await mail.jobs.add("welcome", {"to": "ada@example.org"})
    await mail.jobs.add("welcome", ["no", "object"])
    jobs.assert_enqueued(welcome, to="ada@example.org")
    with pytest.raises(AssertionError, match="but user is missing"):
        jobs.assert_enqueued(welcome, user=ADA)


async def test_jobs_are_refused_as_redis_would_refuse_them(jobs: MemoryBroker) -> None:
    with pytest.raises(InvalidJobDataError, match="user"):
        await welcome.enqueue(to="ada@example.org", user="Ada")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="data of job 'resize' is not JSON"):
        await images.add("resize", {"when": date(2030, 1, 1)})
    with pytest.raises(ConfigurationError, match=r"jobs\[1\]: .*job_id '7' is a whole number"):
        await images.add_bulk([{"name": "a"}, {"name": "b", "opts": {"job_id": "7"}}])
    with pytest.raises(ConfigurationError, match="more than size_limit allows: 2"):
        await images.add("resize", {"width": 640}, size_limit=2)
    jobs.assert_not_enqueued()


async def test_options_of_the_queue_itself_stay(jobs: MemoryBroker) -> None:
    await images.add("resize")
    assert jobs.assert_enqueued("resize").opts == {"attempts": 7}


async def test_a_job_id_is_added_once(jobs: MemoryBroker) -> None:
    first = await images.add("resize", {"width": 1}, job_id="a")
    again = await images.add("resize", {"width": 2}, job_id="a")
    assert (first.created, again.created, again) == (True, False, "a")
    assert [job.data for job in jobs.enqueued()] == [{"width": 1}]


async def test_nothing_is_left_for_the_next_test() -> None:
    with MemoryBroker() as outer:
        await images.add("outer")
        with MemoryBroker() as inner:
            await images.add("inner")
        await images.add("outer again")
    assert [job.name for job in inner.enqueued()] == ["inner"]
    assert [job.name for job in outer.enqueued()] == ["outer", "outer again"]
    assert not images._broker.is_connected
