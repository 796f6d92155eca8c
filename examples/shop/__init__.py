"""A shop: a web application that enqueues, a worker, tests of both, and a producer in Node.

Worker:   auth-worker run examples.shop.worker:service
Web:      uvicorn examples.shop.web:app
Node:     node examples/shop/producer.js
Tests:    pytest examples/shop

All of them take their broker from AUTH_WORKER_REDIS_URL; the mail server is SHOP_SMTP (localhost:25).
"""
