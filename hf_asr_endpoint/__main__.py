"""`python -m hf_asr_endpoint` is the command `hf-asr`."""

import sys

from hf_asr_endpoint.command_line.main import main

sys.exit(main())
