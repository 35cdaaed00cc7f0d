"""Operations on tensors, one family a file; loaded together, since each may use the others' operators and methods."""

import minigrad.ops.methods
