"""The networks of the larger jobs, written once for each framework with the same names for the same weights."""
