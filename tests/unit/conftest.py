"""Hypothesis without a clock: `make test` gives these tests what others leave of the processor."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile('patient', parent=settings(), deadline=None)
settings.load_profile('patient')
