"""`python -m hf_asr_endpoint` is the command `hf-asr`."""

import sys

from hf_asr_endpoint.cli import main

sys.exit(main())
