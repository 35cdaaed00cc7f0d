"""Operations on tensors, one family a file.

The whole floor is loaded at once, with the operators, methods and NumPy's protocols that it hangs on tensors, so that
every tensor has them.
"""

import minigrad.ops.methods
import minigrad.ops.numpy_protocol
