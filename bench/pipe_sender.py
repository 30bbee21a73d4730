"""The other end of a pipe that `bench.preparation` measures: sends arrays of a chunk's size as fast as it can."""

from __future__ import annotations

import numpy as np

from hf_asr_endpoint.processes.program import connect_to_parent
from hf_asr_endpoint.units import N_SAMPLES

if __name__ == "__main__":
    pipe, chunk = connect_to_parent(), np.zeros(N_SAMPLES, np.float32)
    while True:
        pipe.send(chunk)
