"""Configuration of the site: ``python -m sphinx -W -n --keep-going docs site``."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "_extensions")]

import minigrad  # noqa: E402

project = "minigrad + transformer"
version = release = minigrad.__version__
html_title = project
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",  # tables; the pages are those of reference_pages
    "sphinx.ext.napoleon",
    "sphinx.ext.linkcode",  # to the pages of source_pages
    "sphinx-mathjax-offline",
    "source_pages",
    "reference_pages",
]
exclude_patterns = ["_extensions", "images"]
templates_path: list[str] = []

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_show_search_summary = False  # it would fetch pages, which browsers refuse to a file

myst_enable_extensions = ["dollarmath", "html_image"]
myst_heading_anchors = 3
nb_execution_mode = "force"  # notebooks only; they are kept without outputs
nb_execution_raise_on_error = True
nb_execution_timeout = 1800  # seconds of a cell, on a busy machine
nb_execution_in_temp = True
nb_merge_streams = True

autosummary_generate = False
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
# References to our own names must resolve; those of other libraries have no pages offline.
nitpick_ignore_regex = [(r"py:.*", r"(?!minigrad|transformer).*")]
