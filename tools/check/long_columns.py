"""Which logits of a long row are kept in golden/logits/long."""

import numpy as np

TOKENS, COLUMNS = 1500, 128


def columns(position, vocabulary):
    """128 columns of one position; 1,500 positions reach 192,000 different ones of Gemma's 262,144."""
    step = 2654435761  # prime, so that every column comes once before any comes twice
    return (np.arange(position * COLUMNS, (position + 1) * COLUMNS, dtype=np.int64) * step) % vocabulary
