"""A Django project whose tasks are jobs of BullMQ queues.

`python -m examples.django_project auth_worker` runs them.
"""
