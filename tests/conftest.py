"""What every test module may count on."""

from __future__ import annotations

import sys
from pathlib import Path

# `benchmarks` holds the scenarios that the tests assert; only the folder above makes it importable.
sys.path.insert(0, str(Path(__file__).parents[1]))
