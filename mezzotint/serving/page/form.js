// A form made of the options that a family declares.

import { field, h, select } from './dom.js';

const OWN = ['images', 'budget', 'seed'];

/** The form of a family's options; `value()` gives those that differ from the preset. */
export function optionsForm(told, preset) {
  const base = { ...Object.fromEntries(told.options.map((one) => [one.name, one.default])), ...(told.presets[preset] ?? {}) };
  const rows = told.options.filter((one) => !OWN.includes(one.name)).map((one) => ({ one, ...control(one, base[one.name]) }));
  const part = (of) =>
    h(
      'div',
      { className: 'options' },
      rows.filter((row) => row.one.of === of).map((row) => row.element),
    );
  const element = h(
    'details',
    { className: 'more-options' },
    h('summary', {}, 'More options'),
    h('h3', {}, 'Model'),
    part('model'),
    h('h3', {}, 'Training'),
    part('training'),
  );
  return {
    element,
    value() {
      const found = {};
      for (const row of rows) {
        const now = row.read();
        if (now !== row.start) found[row.one.name] = now;
      }
      return found;
    },
  };
}

const text = (value) => (value === null || value === undefined ? '' : Array.isArray(value) ? value.join(', ') : String(value));

function control(one, start) {
  const hint = bounds(one);
  if (one.kind === 'flag') {
    const input = h('input', { type: 'checkbox', checked: Boolean(start) });
    return {
      element: h('label', { className: 'tick' }, input, h('span', {}, one.name, h('small', {}, ` ${one.help}`))),
      read: () => input.checked,
      start: Boolean(start),
    };
  }
  if (one.kind === 'choice') {
    const input = select(
      [...(one.optional ? [['', byItself(one)]] : []), ...one.choices.map((each) => [String(each), String(each)])],
      text(start),
    );
    return { element: field(one.name, input, one.help), read: () => input.value || null, start: text(start) || null };
  }
  const input = h('input', {
    type: 'text',
    value: text(start),
    placeholder: one.optional ? byItself(one) : '',
    autocomplete: 'off',
    spellcheck: false,
  });
  return {
    element: field(one.name, input, [one.help, hint].filter(Boolean).join('; ')),
    read: () => (input.value.trim() === '' && one.optional ? null : input.value.trim()),
    start: text(start) === '' && one.optional ? null : text(start),
  };
}

const byItself = (one) => (one.name === 'size' || one.name === 'channels' ? 'as the pictures are' : 'by itself');

function bounds({ low, high }) {
  if (low === null && high === null) return '';
  if (high === null) return `${low} or more`;
  return low === null ? `up to ${high}` : `${low} to ${high}`;
}
