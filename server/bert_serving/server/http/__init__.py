"""The HTTP API of a server: a process that takes HTTP requests and is itself a client of the two ZeroMQ ports.

`proxy` is the process. `frontend` reads and writes its connections, and `dispatcher` queues the requests for its
threads. Both use `waitress_adapter`; this module and `waitress_connection` are the only ones that know waitress. `tls`
secures the connections. `app` is the Flask application, independent of these. It consists of `admission`, `pages` and
the modules of the routes, such as `legacy`, `openai` and `monitoring`. `backend` is the only module that talks to the
server. `errors`, `requests`, `responses`, `health`, `routes` and `openapi` are pure.

Only this package, `benchmark` and `files` import the client.
"""
