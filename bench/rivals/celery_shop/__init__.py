"""The system of examples/shop as Celery has it, for a count of lines: what Celery lacks is made here by hand.

Worker:   celery -A bench.rivals.celery_shop.tasks worker -B -Q shopMail,shopImages --statedb revoked
Web:      uvicorn bench.rivals.celery_shop.web:app

It needs ``celery[redis]``, ``fastapi`` and ``pydantic[email]``. A producer in Node has no part in it.
"""
