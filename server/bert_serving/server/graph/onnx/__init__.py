"""The second engine: the graph of the exporter as an ONNX model, and ONNX Runtime, which runs it.

The modules of `graph` build graphs for every engine. The exporter then translates a graph: `nodes.py` reads it,
`fusing.py` finds patterns with their own kernels, `lowering.py` replaces each op by its counterpart, `quantizing.py`
makes int8 products, and `saving.py` writes the files that `runtime.py` runs. Workers import only `runtime.py`, and no
TensorFlow.
"""
