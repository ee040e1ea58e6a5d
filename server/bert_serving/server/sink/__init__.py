"""What the sink decides: `assembler.py`, and beside it the events that it takes and the bounds that it keeps."""
