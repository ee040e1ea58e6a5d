"""`bert-serving-encode`: encode the texts of files of any size, into parts, with resumption.

`rows`, `manifest`, `asking` and `estimate` are pure. `inputs` finds the files and `readers` reads them. `parts` writes
the output and `folder` owns its folder. `requests` has the clients, `display` shows the progress, and `job` puts
everything together.
"""
