/** The microphone, as 16-bit samples of one channel. */

/** In hertz; Whisper's own. */
export const RATE = 16_000;

const MAX_FLUSH_MS = 500; // for the last samples; a microphone that is unplugged may stop its audio thread

const REASONS = {
  NotAllowedError: ["The microphone is not allowed", "The browser does not let this page use the microphone. Allow it in the address bar, then try again."],
  NotFoundError: ["There is no microphone", "Connect one and try again, or choose a file instead."],
  NotReadableError: ["The microphone is taken", "The microphone cannot be used; another program may have it. Close that, then try again."],
};

/** title: what went wrong. Its message says what people may do. */
export class MicrophoneFailed extends Error {
  constructor(title, message) {
    super(message);
    this.title = title;
  }
}

/**
 * Open it, and pass on what it hears. Returns {stream, close}: its MediaStream, and a function that closes it, settled
 * behind the last samples. Raises MicrophoneFailed.
 *
 * onSamples: (Int16Array), some twenty times a second. onEnd: somebody has unplugged it.
 */
export async function openMicrophone({ onSamples, onEnd }) {
  if (!navigator.mediaDevices)
    throw new MicrophoneFailed("The microphone needs https", "Browsers open it only on pages with https, or on localhost. Choose a file instead.");
  let stream = null;
  let context = null;
  let node = null;
  const close = () => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    context?.close();
  };
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: false } });
    context = new AudioContext();
    await context.audioWorklet.addModule(new URL("capture.js", import.meta.url));
    await context.resume();
    node = new AudioWorkletNode(context, "capture", {
      numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit", processorOptions: { rate: RATE },
    });
    context.createMediaStreamSource(stream).connect(node);
  } catch (error) {
    close();
    throw new MicrophoneFailed(...(REASONS[error.name] ?? ["The microphone cannot be used", error.message]));
  }
  let tellFlushed;
  const flushed = new Promise((resolve) => (tellFlushed = resolve));
  node.port.onmessage = ({ data }) => (data ? onSamples(data) : tellFlushed());
  stream.getTracks()[0].addEventListener("ended", onEnd);
  const end = async () => {
    node.port.postMessage("flush");
    await Promise.race([flushed, new Promise((resolve) => setTimeout(resolve, MAX_FLUSH_MS))]);
    node.port.onmessage = null;
    close();
  };
  return { stream, close: end };
}
