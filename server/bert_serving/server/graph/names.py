"""The names of the nodes that a worker feeds, fetches or reads, in the graphs of all engines."""

from __future__ import annotations

INPUT_NAMES = ('input_ids', 'input_mask', 'input_type_ids')
POOLING_MASK_NAME = 'pooling_mask'
WORDS_NAME = 'input_words'
OUTPUT_NAME = 'final_encodes'
BOUND_NAME = 'size_class/bound'
MOST_TOKENS_NAME = 'most_tokens'
UNUSUAL_IDS_NAME = 'unusual_ids'
COMPUTE_NAME = 'compute'
