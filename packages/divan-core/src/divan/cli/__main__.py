"""``python -m divan.cli``: the command line where its script is not on PATH."""

from __future__ import annotations

import sys

from divan.cli import main

sys.exit(main())
