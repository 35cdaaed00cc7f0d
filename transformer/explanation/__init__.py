"""Interactive explanation of one run of a model: a page with all its steps.

steps (what a layer computes, by formula and by code) → recording (their values in a run) → page (what of it fits).
"""

from transformer.explanation.page import explain

__all__ = ["explain"]
