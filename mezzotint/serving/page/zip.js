// A zip file of dropped files, without compression: pictures are compressed already.

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});
const MOST_FILES = 65000,
  MOST_BYTES = 2 ** 32 - 2 ** 26,
  UTF8 = 0x0800;

/** CRC-32 of bytes, as zip files have it. */
export function crc32(bytes) {
  let c = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) c = TABLE[(c ^ bytes[i]) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

/** A Blob that is a zip of [name, File] pairs; `told` hears how many are in. */
export async function zipped(files, told = () => {}) {
  const total = files.reduce((sum, [, file]) => sum + file.size, 0);
  if (files.length > MOST_FILES || total > MOST_BYTES)
    throw new Error('This is too much for a browser: start the server with --data FOLDER and choose it here.');
  const parts = [],
    index = [];
  let offset = 0;
  for (const [i, [name, file]] of files.entries()) {
    const text = new TextEncoder().encode(name),
      crc = crc32(new Uint8Array(await file.arrayBuffer()));
    const common = [
      [2, 20],
      [2, UTF8],
      [2, 0],
      [2, 0],
      [2, 0x21],
      [4, crc],
      [4, file.size],
      [4, file.size],
      [2, text.length],
      [2, 0],
    ];
    const head = packed([[4, 0x04034b50], ...common]);
    parts.push(head, text, file);
    index.push(packed([[4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]), text);
    offset += head.length + text.length + file.size;
    if (i % 50 === 0) told(i + 1, files.length);
  }
  const length = index.reduce((sum, part) => sum + part.length, 0);
  const end = packed([
    [4, 0x06054b50],
    [2, 0],
    [2, 0],
    [2, files.length],
    [2, files.length],
    [4, length],
    [4, offset],
    [2, 0],
  ]);
  told(files.length, files.length);
  return new Blob([...parts, ...index, end], { type: 'application/zip' });
}

function packed(numbers) {
  const bytes = new Uint8Array(numbers.reduce((sum, [size]) => sum + size, 0)),
    view = new DataView(bytes.buffer);
  let at = 0;
  for (const [size, value] of numbers) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return bytes;
}

/** Every file of what was dropped, folders walked: [path, File] pairs. */
export async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => [file.name, file]);
  const found = [];
  for (const entry of entries) await walk(entry, '', found);
  return found;
}

async function walk(entry, prefix, found) {
  const path = prefix + entry.name;
  if (entry.name.startsWith('.') || found.length > MOST_FILES) return;
  if (entry.isFile) {
    found.push([path, await new Promise((done, failed) => entry.file(done, failed))]);
    return;
  }
  const reader = entry.createReader();
  for (let batch; (batch = await new Promise((done, failed) => reader.readEntries(done, failed))).length;) {
    for (const inner of batch) await walk(inner, `${path}/`, found);
  }
}

/** The paths without the folder that all of them lie in, and its name. */
export function unwrapped(files) {
  const [first] = files[0]?.[0].split('/') ?? [];
  const wrapped = files.length > 0 && files.every(([path]) => path.startsWith(`${first}/`));
  return {
    name: wrapped ? first : 'pictures',
    files: wrapped ? files.map(([path, file]) => [path.slice(first.length + 1), file]) : files,
  };
}
