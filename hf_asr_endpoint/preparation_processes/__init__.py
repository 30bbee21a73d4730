"""Audio that is prepared in processes of its own, because Python's lock lets one process prepare only so much.

    PreparationProcesses (`Preparations`)            a recording → the process that has the fewest
      PreparationProcess (one for each)              its process, which a Keeper starts again; what it prepares
        Channel ═══ a pair of sockets ═══ Channel    messages, with arrays beside the pickle (`processes/`)
                             PreparationWorkers      in the process: threads that take turns, as in an engine's

Audio goes there encoded, in blocks, the first of them with the order; chunks come back. These processes have no
model, and see no GPU.
"""
