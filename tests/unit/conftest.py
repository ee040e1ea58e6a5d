"""Hypothesis without deadlines: `make test` gives these tests only the processor time that others leave."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile('patient', parent=settings(), deadline=None)
settings.load_profile('patient')
