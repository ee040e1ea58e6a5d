"""The HTTP API of a server: a process that takes HTTP requests and is itself a client of the two ZeroMQ ports.

`proxy` is the process. `frontend` reads and writes its connections, `dispatcher` queues the requests for its threads;
`waitress_adapter`, which both use, and `waitress_connection` are the only modules that know waitress; `tls` secures its
connections. `app` is the Flask application, independent of these, put together from `admission`, `legacy`, `openai`,
`monitoring` and `dashboard`. `backend` is the only module that speaks to the server. `errors`, `requests`, `responses`,
`health`, `routes` and `openapi` are pure.

This package and `benchmark` are the only ones of the server that import the client.
"""
