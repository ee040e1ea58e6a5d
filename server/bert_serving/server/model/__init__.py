"""The files of a model, read without TensorFlow. Owns no socket, process, thread or clock."""
