"""Packed masked execution: only visible cells are stored and computed; the rest costs nothing.

A map [B, C, H, W] is kept as tiles [V, C, t, t], channels last: one tile for each of the V visible cells of the batch,
or for each visible position if one covers several cells. `tiles` is the geometry, `gather` moves rows between tiles,
`convolution` (small tiles by `pairs`, found by `pair_index` for the blocks of `pair_blocks`), `pooling` and `pointwise`
(with `batch_norm`) handle one family of operations each, `rules` lists them (the whitelist), `tensor` intercepts the
calls. Equal to dense execution.
"""
