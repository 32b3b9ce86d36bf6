// The points of a plane as dots on its canvas.

import { packed } from './hues.js';

/** Squares of `side` pixels, written one by one: fast for tens of thousands. */
export function squares(plane, side, ratio) {
  const { canvas } = plane,
    { width, height } = canvas;
  plane.image ??= plane.pen.createImageData(width, height);
  plane.words = new Uint32Array(plane.image.data.buffer);
  const { words, points, shown, bins, picked } = plane,
    half = side >> 1,
    scale = plane.view.scale * ratio,
    dx = plane.view.x * ratio,
    dy = plane.view.y * ratio;
  const full = plane.colours.map(packed),
    faint = full.map((v) => (v & 0xffffff) | (70 << 24)),
    any = picked.size > 0;
  words.fill(0);
  for (let i = 0; 2 * i < points.length; i++) {
    if (!shown[i]) continue;
    const left = Math.round(points[2 * i] * scale + dx) - half,
      top = Math.round(points[2 * i + 1] * scale + dy) - half;
    if (left < 0 || top < 0 || left + side > width || top + side > height) continue;
    const colour = any && !picked.has(i) ? faint[bins[i]] : full[bins[i]];
    for (let row = top * width + left, end = row + side * width; row < end; row += width)
      for (let k = 0; k < side; k++) words[row + k] = colour;
  }
  plane.pen.putImageData(plane.image, 0, 0);
}

/** Discs, for maps of few points. */
export function discs(plane, radius, ratio) {
  const { pen, canvas, points, shown, bins, picked } = plane;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  for (const chosen of picked.size ? [false, true] : [true]) {
    pen.globalAlpha = chosen ? 0.95 : 0.25;
    for (const [bin, colour] of plane.colours.entries()) {
      pen.fillStyle = colour;
      pen.beginPath();
      for (let i = 0; 2 * i < points.length; i++) {
        if (!shown[i] || bins[i] !== bin || (picked.size && picked.has(i) !== chosen)) continue;
        const [x, y] = plane.spot(i);
        pen.moveTo(x + radius, y);
        pen.arc(x, y, radius, 0, 7);
      }
      pen.fill();
    }
  }
  pen.globalAlpha = 1;
}
