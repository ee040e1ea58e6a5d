"""`bert-serving-benchmark`: measure the speed of a server, alone or compared with another one of the same protocol.

`plan` has the experiments and `results` their results; both are pure. `sentences` and `random_model` make the data,
`load` has the clients, `plots` the pictures, and `run` everything together.
`http`, `files` and this package alone import the client.
"""
