"""Read the files of a model without TensorFlow. Owns no socket, process, thread or clock."""
