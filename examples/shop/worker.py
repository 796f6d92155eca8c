"""The worker: all tasks of the shop, and what it does every morning."""

from examples.shop.tasks import images, mail, offer_of_the_day

from auth_worker import WorkerService

SUBSCRIBERS = ["ada@example.org", "bob@example.org"]


async def schedule() -> None:
    """Have the offer sent at eight; every worker that starts may say so again."""
    await offer_of_the_day.scheduler("offer", pattern="0 8 * * *", tz="Europe/Berlin").upsert(SUBSCRIBERS)


service = WorkerService(init_services=schedule)
service.include(mail)
service.include(images)
