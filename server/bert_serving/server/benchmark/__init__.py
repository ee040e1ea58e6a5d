"""`bert-serving-benchmark`: how fast a server is, alone or beside another that speaks the same wire.

`plan` says what is measured and `results` what became of it; both are pure. `sentences` and `random_model` make what is
measured with. `load` is the clients, `host` a server in a process of its own, `plots` the pictures, and `run` the
whole. This package and `http` are the only ones of the server that import the client.
"""
