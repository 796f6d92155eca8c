"""Tests of the shop: runs of single tasks without a broker, jobs in memory, and jobs on an embedded broker."""

import base64
from collections.abc import Callable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from examples.shop import web
from examples.shop.images import Image
from examples.shop.tasks import Mailer, Order, gallery, mail, order_confirmation, resize_image, welcome
from examples.shop.worker import schedule, service
from fastapi import HTTPException

from auth_worker.errors import JobCancelledError
from auth_worker.testing import MemoryBroker, RunningWorker, override_resource, perform

PPM = Image(4, 2, bytes(range(24))).ppm
PICTURE = web.Picture(title="Grey", ppm=base64.b64encode(PPM), widths=[1, 2])
ORDER = Order(number="7", email="ada@example.org", total=12.5)


class FakeMailer(Mailer):
    """Records mails instead of sending them."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    async def send(self, to: str, subject: str, text: str) -> None:
        self.sent.append((to, subject))


@pytest.fixture
def mailer() -> Iterator[FakeMailer]:
    with override_resource(mail, Mailer, FakeMailer()) as fake:
        yield fake


async def test_a_thumbnail_keeps_the_proportions() -> None:
    small = await perform(resize_image, PPM, 2)
    assert (small.width, small.height, small.ppm) == (2, 1, Image(2, 1, PPM[-24:][:3] + PPM[-24:][6:9]).ppm)


async def test_who_signs_up_twice_is_welcomed_once(jobs: MemoryBroker, mailer: FakeMailer) -> None:
    for _ in range(2):
        await web.sign_up(web.Customer(email="ada@example.org", name="Ada"))
    jobs.assert_enqueued(welcome, to="ada@example.org")
    await jobs.drain(service)
    assert mailer.sent == [("ada@example.org", "Welcome, Ada")]


async def test_an_order_is_confirmed_in_a_quarter_of_an_hour(jobs: MemoryBroker, mailer: FakeMailer) -> None:
    await web.order(ORDER)
    await jobs.drain(service)
    assert mailer.sent == []
    jobs.clock.advance(minutes=15)
    await jobs.drain(service)
    assert mailer.sent == [("ada@example.org", "Your order 7")]
    with pytest.raises(HTTPException, match="too late"):
        await web.take_back("7")


async def test_an_order_that_is_taken_back_is_not_confirmed(jobs: MemoryBroker, mailer: FakeMailer) -> None:
    await web.order(ORDER)
    await web.take_back("7")
    await jobs.drain(service, with_delayed=True)
    assert mailer.sent == []
    with pytest.raises(JobCancelledError, match="the customer took it back"):
        await order_confirmation.handle("order-7").result()


async def test_a_mail_that_cannot_be_sent_is_tried_again(jobs: MemoryBroker) -> None:
    class Broken(FakeMailer):
        async def send(self, to: str, subject: str, text: str) -> None:
            await super().send(to, subject, text)
            if len(self.sent) < 3:
                raise OSError("the mail server is away")

    await web.sign_up(web.Customer(email="ada@example.org", name="Ada"))
    with override_resource(mail, Mailer, Broken()) as broken:
        await jobs.drain(service, with_delayed=True)
    assert len(broken.sent) == 3


async def test_the_offer_comes_every_morning(jobs: MemoryBroker, mailer: FakeMailer) -> None:
    jobs.clock.move_to(datetime(2100, 6, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")))
    await schedule()
    for day in (2, 3):
        jobs.clock.move_to(datetime(2100, 6, day, 8, tzinfo=ZoneInfo("Europe/Berlin")))
        await jobs.drain(service)
        assert len(mailer.sent) == 2 * (day - 1)


async def test_a_thumbnail_is_awaited(jobs: MemoryBroker) -> None:
    with jobs.inline(service, raise_errors=False):
        assert await web.thumbnail(PICTURE) == {"width": 1, "height": 1}
        with pytest.raises(HTTPException, match="not an image"):
            await web.thumbnail(web.Picture(title="x", ppm=base64.b64encode(b"GIF89a")))


async def test_a_gallery_runs_after_its_thumbnails(jobs: MemoryBroker) -> None:
    job = (await web.make_gallery(PICTURE))["job"]
    assert await web.show_gallery(job) == {"state": "waiting-children"}
    await jobs.drain(service)
    assert await web.show_gallery(job) == {"title": "Grey", "widths": [2, 1]}
    with pytest.raises(HTTPException):
        await web.show_gallery("nobody")


async def test_a_gallery_is_made_by_real_workers(worker: Callable[..., RunningWorker]) -> None:
    async with worker(service):
        assert [each.id for each in await mail.jobs.job_schedulers()] == ["offer"]
        job = (await web.make_gallery(PICTURE))["job"]
        made = await gallery.handle(job).result(timeout=30)
    assert (made.title, [each.width for each in made.thumbnails]) == ("Grey", [2, 1])
