"""`bert-serving-benchmark`: measure the speed of a server, and compare it with another server of the same protocol.

`plan` has the experiments and `results` their results; both are pure. `sentences` and `random_model` make the data,
`load` has the clients, `plots` draws the charts, and `run` puts everything together. Only `http`, `files` and this
package import the client.
"""
