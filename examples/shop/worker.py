"""The worker: runs all tasks of the shop, and schedules the offer of the day."""

from examples.shop.tasks import images, mail, offer_of_the_day

from auth_worker import WorkerService

SUBSCRIBERS = ["ada@example.org", "bob@example.org"]


async def schedule() -> None:
    """Schedule the offer for eight every morning. Every worker may do so at its start."""
    await offer_of_the_day.scheduler("offer", pattern="0 8 * * *", tz="Europe/Berlin").upsert(SUBSCRIBERS)


service = WorkerService(init_services=schedule)
service.include(mail)
service.include(images)
