"""Archives on Ray Data: many recordings, a pool of engines on all machines of a cluster, a row for each recording.

`transcribe` makes the dataset, `engine` is an engine of the pool, `locations` opens what object stores and folders
have. Files and texts are the command line's.
"""

from hf_asr_endpoint.ray_data.dataset import Row, be_quiet, read_rows, transcribe

__all__ = ["Row", "be_quiet", "read_rows", "transcribe"]
