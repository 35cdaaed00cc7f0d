"""The operations, one family a file: each with its forward and its derivative side by side."""
