"""A worker for one-time codes by SMS, with a provider of your own.

Run it: auth-worker run examples.sms_worker:service
Try it: auth-worker add smsQueue sendOtp --data @code.json, where code.json holds
        {"type": "sendOtp", "data": {"phone": "+4930123456", "code": "1234"}}
"""

from auth_worker import QUEUE_NAMES, WorkerService
from auth_worker.consumers.sms import create_sms_job_consumer


class PrintedSms:
    """Stands in for your provider's client."""

    async def send_otp(self, phone: str, code: str) -> None:
        """Send ``code`` to ``phone``."""
        print(f"to {phone[:4]}...: your code has {len(code)} digits")


service = WorkerService()
service.register_processor(
    queue_name=QUEUE_NAMES.SMS,
    processor=create_sms_job_consumer(PrintedSms()),
    dead_letter_queue_name=QUEUE_NAMES.SMS_DEAD_LETTER,
)
