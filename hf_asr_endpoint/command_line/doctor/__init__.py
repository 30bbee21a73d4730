"""`hf-asr doctor`: `findings` looks at the machine, `self_test` transcribes, `advice` says how to be faster.

`self_test.ogg` is the beginning of John F. Kennedy's inaugural address of 1961, in the public domain.
"""
