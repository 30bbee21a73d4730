"""Processes that this one starts, watches and starts again, and the ways to them. Knows neither models nor text.

Keeper           a process as long as it is wanted: started, listened to, started again when it has ended
  Channel        messages, in a thread for each direction, over a Pipe: multiprocessing's, or a BufferPipe
  Works          what the process works on, by numbers; each is told all that comes of it
Fetches          on the other side: blocks of audio that works wait for
"""
