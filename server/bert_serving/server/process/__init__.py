"""One child process and its supervision. Knows processes and nothing of requests."""
