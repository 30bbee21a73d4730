/** 16-bit samples of one channel → a wav file. Knows nothing of the page. */

const HEADER_BYTES = 44;

/** parts: Int16Arrays, one after the other. */
export function wavFile(parts, rate, name) {
  const nBytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const header = new DataView(new ArrayBuffer(HEADER_BYTES));
  const text = (at, value) => [...value].forEach((letter, index) => header.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, HEADER_BYTES - 8 + nBytes, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true); // bytes of this part of the header
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // channels
  header.setUint32(24, rate, true);
  header.setUint32(28, 2 * rate, true); // bytes in a second
  header.setUint16(32, 2, true); // bytes of a sample in all channels
  header.setUint16(34, 16, true); // bits of a sample
  text(36, "data");
  header.setUint32(40, nBytes, true);
  return new File([header, ...parts], name, { type: "audio/wav" });
}
