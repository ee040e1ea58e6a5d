"""What the ventilator decides: `scheduler.py`, and beside it the events that it takes and the limits that it keeps."""
