"""The suite. What must be set before torch is imported is set here."""

import os
import sys

if "pytest" in sys.modules:  # Benches start servers as tests do, and measure them as they are.
    # Threads of OpenMP sleep when they wait. Spinning, they keep a core that another process of the suite needs:
    # operators on small tensors took fifty times as long. Servers inherit it, as an operator's variable.
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
