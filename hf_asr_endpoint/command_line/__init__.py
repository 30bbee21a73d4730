"""The command `hf-asr`: a module, or a folder, for each of its subcommands.

Knows arguments, terminals and exit codes. What a subcommand needs is imported when it is the one that runs.
"""
