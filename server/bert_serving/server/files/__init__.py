"""`bert-serving-encode`: the vectors of the texts in files of any size, in parts, resumable.

`rows`, `manifest`, `asking` and `estimate` are pure. `inputs` finds the files and `readers` read them, `parts` writes
the output and `folder` owns it, `requests` has the clients, `display` shows the progress, and `job` joins them.
"""
