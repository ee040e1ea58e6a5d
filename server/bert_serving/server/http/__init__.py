"""The HTTP face of a server: a process that takes HTTP requests and asks the two ZeroMQ ports, as any client does.

`proxy` is the process, `door` its connections (waitress) and `lanes` the threads behind them; `app` is the Flask
application, free of both, put together from `guard` (who may come in), `legacy`, `openai` and `operation` (the routes).
What they decide by stands in modules that own no socket and no clock: `faults`, `parsing`, `answers`, `health`,
`routes`, `openapi`. The one module that speaks to the server behind is `backend`.

This package and `benchmark` are the only ones of the server that import the client.
"""
