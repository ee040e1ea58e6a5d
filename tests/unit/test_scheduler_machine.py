"""Whatever the order of events, the scheduler loses no request, answers none twice, and keeps its invariants."""

from __future__ import annotations

import pytest
from hypothesis import settings as hypothesis_settings

from unit.scheduler_machine import SchedulerMachine

TestSchedulerMachine = pytest.mark.slow(SchedulerMachine.TestCase)
TestSchedulerMachine.settings = hypothesis_settings(max_examples=150, stateful_step_count=40, deadline=None)
