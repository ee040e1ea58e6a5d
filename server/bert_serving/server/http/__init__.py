"""The HTTP face of a server: a process that takes HTTP requests and asks the two ZeroMQ ports, as any client does.

`proxy` is the process, `frontend` its connections (waitress) and `dispatcher` the threads behind them; `app` is the Flask
application, free of both, put together from `admission`, `legacy`, `openai` and `monitoring`. What they decide by stands
in modules that own no socket and no clock: `errors`, `requests`, `responses`, `health`, `routes`, `openapi`. The one module that speaks to the server behind is `backend`.

This package and `benchmark` are the only ones of the server that import the client.
"""
