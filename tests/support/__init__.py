"""What tests of several folders share: servers, clients and doubles. A helper of one folder stays there.

Tests import them as `support.serving`, and children run them so too: `PYTHONPATH` and pytest's `pythonpath` name
`tests`. `scripted_server` and `replay` run on Python 2.7 as well, so this file holds nothing else.
"""
