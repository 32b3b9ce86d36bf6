// Numbers and states as people read them.

const WHOLE = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

export const count = (value) => WHOLE.format(value);

/** A number with as many digits as tell something. */
export function short(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (value === 0) return '0';
  if (size >= 1e5 || size < 1e-3) return value.toExponential(1).replace('e+', 'e');
  return String(+value.toPrecision(size >= 1000 ? 4 : 3));
}

/** A large count in few letters. */
export function large(value) {
  const steps = [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ];
  const [unit, letter] = steps.find(([least]) => value >= least) ?? [1, ''];
  return letter ? `${+(value / unit).toPrecision(3)}${letter}` : count(value);
}

/** Seconds as a person says them. */
export function lasting(seconds) {
  if (seconds === null || seconds === undefined) return '';
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, '0')} s`;
  return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, '0')} min`;
}

/** How many, with the noun. */
export const many = (n, noun) => `${count(n)} ${noun}${n === 1 ? '' : 's'}`;

export const STATES = {
  running: 'training',
  finished: 'finished',
  interrupted: 'stopped',
  model: 'model',
  starting: 'starting',
  failed: 'did not start',
};

/** A plain name of a key such as `coder.loss`. */
export const title = (key) => key.replace(/^validation_/, '').replaceAll('_', ' ');
