"""Programs: many small operations on a few rows, run by one call."""
