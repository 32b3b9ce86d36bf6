'use strict';
// Pure functions of the latent page: no document here, so that they run anywhere.

/** Bytes of base64 text as the numbers of a typed array. */
function unpack(text, Kind) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new Kind(bytes.buffer);
}

/** The view {scale, x, y} that shows [0, 1]^2 whole in a picture of this size. */
function fitted(width, height, margin) {
  const scale = Math.max(1, Math.min(width, height) - 2 * margin);
  return { scale, x: (width - scale) / 2, y: (height - scale) / 2 };
}

/** The view enlarged by a factor with the picture's point (x, y) staying where it is. */
function zoomed(view, factor, x, y, least, most) {
  const scale = Math.min(most, Math.max(least, view.scale * factor)), by = scale / view.scale;
  return { scale, x: x - (x - view.x) * by, y: y - (y - view.y) * by };
}

/** Points of [0, 1]^2 sorted into cells: `order` lists them cell by cell, `starts` where each begins. */
function gridOf(points, side) {
  const count = points.length / 2, starts = new Uint32Array(side * side + 1);
  const cells = new Uint32Array(count), order = new Uint32Array(count);
  const cut = (v) => Math.min(side - 1, Math.max(0, Math.floor(v * side)));
  for (let i = 0; i < count; i++) {
    cells[i] = cut(points[2 * i + 1]) * side + cut(points[2 * i]);
    starts[cells[i] + 1]++;
  }
  for (let c = 0; c < side * side; c++) starts[c + 1] += starts[c];
  const next = starts.slice();
  for (let i = 0; i < count; i++) order[next[cells[i]]++] = i;
  return { side, starts, order };
}

/** The shown point nearest to (x, y) within a reach, all in [0, 1]^2; -1 for none. */
function nearestPoint(points, grid, shown, x, y, reach) {
  const { side, starts, order } = grid;
  const cut = (v) => Math.min(side - 1, Math.max(0, Math.floor(v * side)));
  let best = -1, least = reach * reach;
  for (let row = cut(y - reach); row <= cut(y + reach); row++) {
    for (let column = cut(x - reach); column <= cut(x + reach); column++) {
      const cell = row * side + column;
      for (let k = starts[cell]; k < starts[cell + 1]; k++) {
        const i = order[k], dx = points[2 * i] - x, dy = points[2 * i + 1] - y;
        const apart = dx * dx + dy * dy;
        if (shown[i] && apart <= least) { least = apart; best = i; }
      }
    }
  }
  return best;
}

/** Whether (x, y) lies in a polygon [x0, y0, x1, y1, ...], by the parity of crossings. */
function inside(polygon, x, y) {
  let within = false;
  for (let i = 0, j = polygon.length - 2; i < polygon.length; j = i, i += 2) {
    const xi = polygon[i], yi = polygon[i + 1], xj = polygon[j], yj = polygon[j + 1];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) within = !within;
  }
  return within;
}

/** The shown points in a polygon, by number. */
function lassoed(points, shown, polygon) {
  const found = [];
  for (let i = 0; 2 * i < points.length; i++) {
    if (shown[i] && inside(polygon, points[2 * i], points[2 * i + 1])) found.push(i);
  }
  return found;
}

/** The shown point nearest to point `from` in a direction, within 45 degrees of it; else `from`. */
function neighbourTowards(points, shown, from, dx, dy) {
  let best = from, least = Infinity;
  for (let i = 0; 2 * i < points.length; i++) {
    const x = points[2 * i] - points[2 * from], y = points[2 * i + 1] - points[2 * from + 1];
    const along = x * dx + y * dy, across = Math.abs(x * dy - y * dx);
    if (shown[i] && i !== from && along > 0 && across <= along && along + across < least) {
      least = along + across;
      best = i;
    }
  }
  return best;
}

/** The value at a share of sorted order. */
function quantile(values, share) {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.round(share * (sorted.length - 1))];
}

/** Number of the colour bin of each value between low and high. */
function binned(values, low, high, bins) {
  const width = high > low ? high - low : 1, found = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const share = (values[i] - low) / width;
    found[i] = Math.min(bins - 1, Math.max(0, Math.floor(share * bins)));
  }
  return found;
}

/** Where the thumbnail of point i lies in the atlas. */
function cellOf(atlas, i) {
  const column = i % atlas.columns, row = Math.floor(i / atlas.columns);
  return { x: column * atlas.width, y: row * atlas.height };
}

/** One field of a CSV line (RFC 4180). */
function csvField(value) {
  const text = String(value);
  return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}

/** A whole CSV file. */
function csvOf(rows) {
  return rows.map((row) => row.map(csvField).join(',') + '\r\n').join('');
}
