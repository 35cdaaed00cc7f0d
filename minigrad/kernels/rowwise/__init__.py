"""Row-wise kernels: softmax, normalization, cross-entropy, sums and scatter-add of rows."""
