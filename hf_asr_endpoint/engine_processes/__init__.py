"""Engines in processes of their own, one for each device, behind one Transcriber of the server's process.

    EngineProcesses (a Transcriber)      a request → the engine with the least load
      EngineProcess (one for each)       its process, which a Keeper starts again; what is in flight there
        Channel ═══ a pipe ═══ Channel   messages, in a thread for each direction (`processes/`)
                               Engine    in the process: the Transcriber that a single device has, without HTTP

The pipe is multiprocessing's, between parent and child alone: what is unpickled comes from this package. Audio
goes encoded, in blocks that the engine asks for: no more than one is on its way for each engine.
"""
