"""`bert-serving-benchmark -peers`: measure other embedding libraries and servers in turn with ours.

`catalog`, `units` and `tables` are pure. `folder` makes the model folder that all read, `runner` is a script for the
interpreter that has the peers, `processes` and `infinity` run them, and `measure` and `command` put it together.
Nothing here imports a peer: only `runner` does, in its own process.
"""
