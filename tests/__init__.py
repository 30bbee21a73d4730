"""The suite. What must be set before torch is imported is set here."""

import os

# Threads of OpenMP sleep when they wait. Spinning, they keep a core that another of the suite's processes needs:
# operators on small tensors took fifty times as long. Servers inherit it, as an operator's variable.
os.environ.setdefault("GOMP_SPINCOUNT", "0")
