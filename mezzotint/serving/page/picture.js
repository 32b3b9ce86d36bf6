// Pictures as elements: sharp while they are enlarged, smooth while they are reduced, light in long lists.

import { h } from './dom.js';
import { address, bytesOf, seesThrough, sizeOf } from './png.js';
import { openZoom } from './zoom.js';

const TILE = 256; // pixels a tile's longer side needs at the most
const CHECKS = 'see-through';

/** Pixels are squares where a picture is enlarged; one that is reduced would lose lines that way. */
function fit(image) {
  if (image.clientWidth) image.classList.toggle('reduced', image.naturalWidth > image.clientWidth * devicePixelRatio);
}

/** Keep all pictures of the page so, now and later. */
export function fitAll() {
  document.addEventListener('load', ({ target }) => target instanceof HTMLImageElement && fit(target), true);
  addEventListener('resize', () => [...document.images].forEach(fit));
}

/** An image of a PNG in base64. */
export const picture = (b64, alt, props = {}) =>
  h('img', { src: address(b64), alt, decoding: 'async', className: seesThrough(b64) ? CHECKS : '', ...props });

/** Put checks behind an image or take them away. */
export const checked = (image, on) => image.classList.toggle(CHECKS, on);

/** An image that opens large when it is pressed; `full` gives the address of the whole picture. */
export function zoomable(image, title, full = () => image.src) {
  const open = () => openZoom({ src: full(), title: title(), checks: image.classList.contains(CHECKS) });
  const element = h('button', { type: 'button', className: 'bare zoomable', title: 'Look closer', on: { click: open } }, image);
  const named = () => element.setAttribute('aria-label', `${title()}: look closer`);
  named();
  return { element, named };
}

/** The same for a PNG in base64, as one element. */
export const closer = (b64, alt, props) => zoomable(picture(b64, alt, props), () => alt).element;

/** A made picture kept as a file outside the script's memory: its bytes, and addresses of it and of a tile. */
export async function kept(b64) {
  const bytes = bytesOf(b64),
    blob = new Blob([bytes], { type: 'image/png' }),
    url = URL.createObjectURL(blob);
  return { bytes, url, checks: seesThrough(b64), tile: await tileOf(bytes, blob, url) };
}

/** Forget it. */
export function dropped({ url, tile }) {
  URL.revokeObjectURL(url);
  URL.revokeObjectURL(tile);
}

async function tileOf(bytes, blob, url) {
  const { width, height } = sizeOf(bytes),
    scale = TILE / Math.max(width, height);
  if (scale >= 1) return url;
  const [resizeWidth, resizeHeight] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
  const small = await createImageBitmap(blob, { resizeWidth, resizeHeight, resizeQuality: 'high' }),
    canvas = h('canvas', { width: resizeWidth, height: resizeHeight });
  canvas.getContext('2d').drawImage(small, 0, 0);
  small.close();
  return URL.createObjectURL(await new Promise((done) => canvas.toBlob(done, 'image/webp', 0.9)));
}
