"""The worker of the tasks in ``mail_tasks``.

Run it: auth-worker run examples.mail_worker:service
"""

from examples.mail_tasks import mail

from auth_worker import WorkerService

service = WorkerService()
service.include(mail)
