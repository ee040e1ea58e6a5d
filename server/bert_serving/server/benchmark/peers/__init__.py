"""`bert-serving-benchmark -peers`: compare our servers with other embedding libraries and servers.

`catalog`, `units` and `tables` are pure. `folder` makes the model folder that all participants read, `runner` is a
script for the interpreter that has the peers, `processes` and `infinity` run them, and `measure` and `command` put it
together. Only `runner` imports peers, in its own process.
"""
