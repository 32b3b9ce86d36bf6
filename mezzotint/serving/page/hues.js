// Colours of classes and of numbers, in light and in dark.

const HUES = {
  light: ['#a4461f', '#24598f', '#1d6a48', '#7b4a9b', '#8a6d00', '#b0376d', '#0e7490', '#5b6470', '#9a3412', '#4d7c0f'],
  dark: ['#ec8f63', '#8dbdf0', '#74cfa0', '#caa2ec', '#d9c65a', '#f197bf', '#67d0e0', '#b6bfca', '#ffb38a', '#b5d86b'],
};
const RAMPS = {
  light: [
    [36, 89, 143],
    [123, 74, 155],
    [176, 55, 109],
    [214, 112, 20],
  ],
  dark: [
    [104, 160, 235],
    [178, 136, 255],
    [255, 122, 152],
    [255, 210, 110],
  ],
};
export const dark = matchMedia('(prefers-color-scheme: dark)');
const theme = () => (dark.matches ? 'dark' : 'light');

/** Colour of a class as #rrggbb or hsl. */
export function hue(label, classes) {
  if (label < 0) return theme() === 'dark' ? '#8a8378' : '#9a9186';
  return classes <= HUES.light.length ? HUES[theme()][label] : `hsl(${(label * 137.5) % 360} 60% ${dark.matches ? 68 : 42}%)`;
}

/** Colour of a share of a range. */
export function ramp(share) {
  const stops = RAMPS[theme()],
    place = Math.min(share * (stops.length - 1), stops.length - 1.001),
    i = Math.floor(place);
  return `rgb(${stops[i].map((v, k) => Math.round(v + (stops[i + 1][k] - v) * (place - i))).join(' ')})`;
}

const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
/** A CSS colour as a number for a Uint32Array over image data. */
export function packed(colour) {
  probe.fillStyle = colour;
  probe.fillRect(0, 0, 1, 1);
  const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
  return (255 << 24) | (b << 16) | (g << 8) | r;
}
