"""Live transcription: text while people speak. One session is one speaker's stream of audio.

Three parts. `session` is a pure state machine: blocks of audio, commands and results go in, events and jobs come
out; it knows samples, seconds and words, and neither threads nor the engine. `partial` and `final` carry out its
jobs: a window through the engine, and what comes back as words. `stream` and `workers` connect both to an event
loop: whatever a session does, it does in one of a few threads, one message at a time.

How words come to be shown:

1. Speech opens a turn, by voice activity in blocks of 96 ms; without turn detection, the first sample does.
2. While somebody speaks, a partial pass decodes the turn's last seconds every 0.3 s, or less often under load.
   Words that are confirmed are the beginning of its text, so no pass can take them back. The last pass's other
   words are its draft, which costs no steps as far as it still holds.
3. A word is confirmed when two passes agree on it (LocalAgreement-2, Liu et al. 2020, arXiv 2005.11185) or when a
   pass is certain of it, and when it ended a moment before the end of the audio. What is confirmed is sent.
4. Above ten seconds, the window is cut at the end of a confirmed word; two or three seconds of confirmed audio
   stay before its new words.
5. After 0.2 s of silence the final pass begins, before it is known whether the turn ends. It is the offline path
   over the whole turn, and dropped when speech returns. Of its words, those behind the last one shown are sent.
6. A turn is decoded in pieces of less than 30 s, so a long one is not decoded again at its end, and no more than a
   piece of its audio is kept.

Against invented text: no pass without new speech, a limit of tokens by seconds, no words from loops, from windows
that sound like silence, or from behind the last speech. No turn's text is the prompt of the next one.
"""
