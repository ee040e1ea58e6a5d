"""Durations, sizes and counts as the log shows them."""

from __future__ import annotations

import pytest

from bert_serving.server.console.formatting import format_bytes, format_count, format_duration


@pytest.mark.parametrize(
    ('seconds', 'shown'),
    [
        (0.04, '0.0s'),
        (9.94, '9.9s'),
        (9.96, '10s'),
        (59.4, '59s'),
        (59.6, '1m00s'),
        (185, '3m05s'),
        (3600, '1h00m00s'),
        (7385.2, '2h03m05s'),
        (86399.7, '1d00h00m'),
        (266580, '3d02h03m'),
    ],
)
def test_a_duration_is_short_and_has_no_microseconds(seconds: float, shown: str) -> None:
    assert format_duration(seconds) == shown


@pytest.mark.parametrize(
    ('number', 'shown'),
    [
        (0, '0B'),
        (999, '999B'),
        (1000, '1.00kB'),
        (43_349_999, '43.3MB'),
        (999_400_000, '999MB'),
        (1_336_000_000, '1.34GB'),
        (9_994_000_000, '9.99GB'),
        (9_996_000_000, '10.0GB'),
        (99_960_000_000, '100GB'),
    ],
)
def test_a_size_has_three_digits_and_its_unit(number: int, shown: str) -> None:
    assert format_bytes(number) == shown
    assert format_count(number) == shown.removesuffix('B')
