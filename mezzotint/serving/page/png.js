// What a PNG says of itself: the record that mezzotint writes into every picture it makes.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const KEYWORD = 'mezzotint',
  LONGEST = 1 << 17;

/** The record as an object, or null: not a PNG, not ours, or compressed. */
export function recordOf(bytes) {
  if (!SIGNATURE.every((value, i) => bytes[i] === value)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at),
      kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (kind === 'IEND' || at + 12 + length > bytes.length) break;
    if (kind === 'iTXt' && length < LONGEST) {
      const found = textOf(bytes.subarray(at + 8, at + 8 + length));
      if (found) return found;
    }
    at += 12 + length;
  }
  return null;
}

function textOf(part) {
  const end = part.indexOf(0);
  if (new TextDecoder('latin1').decode(part.subarray(0, end)) !== KEYWORD || part[end + 1] !== 0) return null;
  const language = part.indexOf(0, end + 3),
    start = part.indexOf(0, language + 1) + 1;
  try {
    const found = JSON.parse(new TextDecoder().decode(part.subarray(start)));
    return found && typeof found === 'object' ? found : null;
  } catch {
    return null;
  }
}

/** Whether two PNG files hold the same picture, byte for byte, whatever they say of it. */
export function samePicture(one, other) {
  const [a, b] = [one, other].map(pictureBytes);
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

function pictureBytes(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    parts = [];
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at),
      kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (kind === 'IHDR' || kind === 'IDAT') parts.push(...bytes.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  return parts;
}

/** Base64 as bytes. */
export function bytesOf(text) {
  const letters = atob(text),
    bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

const HEAD = 36, // letters of base64 that hold the first chunk's facts
  KIND = 25; // where the kind of colour stands

/** Whether a PNG in base64 has an alpha channel. */
export const seesThrough = (text) => [4, 6].includes(atob(text.slice(0, HEAD)).charCodeAt(KIND));

/** Width and height of a PNG. */
export function sizeOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

/** A PNG in base64 as an address for an image element. */
export const address = (text) => `data:image/png;base64,${text}`;
