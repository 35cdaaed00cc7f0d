"""``python -m transformer``: the ``transformer`` command."""

import sys

from transformer.cli import main

sys.exit(main())
