"""Dense masked execution: the reference. The model's own code runs on tensors that carry their mask.

`layout` says where batch, height and width are in a tensor; `convolution`, `elementwise`, `norms`, `pooling`,
`reductions` and `shapes` each honor the mask in one family of operations; `rules` maps operations to
rules; `tensor` intercepts the calls.
"""
