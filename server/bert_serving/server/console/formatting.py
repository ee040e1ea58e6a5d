"""Format durations, sizes and counts for the log: short, and without spaces, so that key=value can be parsed."""

from __future__ import annotations


def format_duration(seconds: float) -> str:
    """Format a duration: `0.4s`, `12s`, `3m05s`, `2h03m05s`, `3d02h03m`."""
    if seconds < 9.95:
        return '%.1fs' % seconds
    minutes, secs = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return '%dd%02dh%02dm' % (days, hours, minutes)
    if hours:
        return '%dh%02dm%02ds' % (hours, minutes, secs)
    return '%dm%02ds' % (minutes, secs) if minutes else '%ds' % secs


def format_bytes(number: int) -> str:
    """Format a size in powers of ten: `512B`, `43.3MB`, `1.34GB`."""
    return _format(number, 'B')


def format_count(number: int) -> str:
    """Format a count: `512`, `22.7M`."""
    return _format(number, '')


def _format(number: int, unit: str) -> str:
    for factor, letter in ((10**9, 'G'), (10**6, 'M'), (10**3, 'k')):
        if number >= factor:
            value = number / factor
            decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return '%.*f%s%s' % (decimals, value, letter, unit)
    return '%d%s' % (number, unit)
