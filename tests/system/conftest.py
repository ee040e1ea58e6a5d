"""Children of a `FakeServer` find their modules, and no test leaves a process or a folder behind."""

from __future__ import annotations

from support.leftovers import fake_modules, leftovers

__all__ = ['fake_modules', 'leftovers']
