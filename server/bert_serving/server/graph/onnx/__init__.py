"""The second engine: the graph of the exporter as an ONNX model, and ONNX Runtime, which runs it.

Graphs are built once, by the modules of `graph`, for every engine. The exporter then translates one: `nodes.py` reads
it, `fusing.py` finds what has its own kernel, `lowering.py` knows each op's counterpart, `quantizing.py` makes
products of bytes, and `writing.py` writes the files that `runtime.py` runs. Workers import only `runtime.py`, and no
TensorFlow.
"""
