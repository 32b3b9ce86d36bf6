// Elements without markup: every text that comes from anywhere becomes a text node.

const SVG = 'http://www.w3.org/2000/svg';

/** An element; `props` are properties or attributes, `on` holds listeners, children may be texts. */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name === 'on') for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (name in element && !(element instanceof SVGElement) && name !== 'list') element[name] = value;
    else if (value !== false) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Replace what an element holds. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A text from a file or a person: shown as it is, whichever way it is written. */
export const name = (text, props = {}) => h('bdi', { className: 'name', ...props }, String(text));

/** Say something to a screen reader. */
export function say(text) {
  document.getElementById('said').textContent = text;
}

/** A field: a label around its words, a control and a hint. */
export function field(title, control, hint) {
  return h('label', { className: 'field' }, h('span', { className: 'field-name' }, title), control, hint && h('small', {}, hint));
}

/** A select of [value, text] pairs. */
export function select(options, chosen, props = {}) {
  const element = h(
    'select',
    props,
    options.map(([value, text]) => h('option', { value }, text)),
  );
  if (chosen !== undefined && chosen !== null) element.value = chosen;
  return element;
}

/** A button. */
export const button = (text, click, props = {}) => h('button', { type: 'button', on: { click }, ...props }, text);

/** A range with its value beside it; `change` hears every move. */
export function slider(title, { min, max, step, value, text = String, hint }, change = () => {}) {
  const shown = h('span', { className: 'value', 'aria-hidden': 'true' }, text(value));
  const input = h('input', {
    type: 'range',
    min,
    max,
    step,
    value,
    on: {
      input: () => {
        shown.textContent = text(+input.value);
        change(+input.value);
      },
    },
  });
  const box = field(h('span', { className: 'with-value' }, title, shown), input, hint);
  return {
    box,
    input,
    set(v) {
      input.value = v;
      shown.textContent = text(+input.value);
    },
  };
}

/** A list of facts: [title, value] pairs, those without a value left out. */
export function facts(pairs) {
  const there = pairs.filter(([, value]) => value !== null && value !== undefined && value !== '');
  return h(
    'dl',
    { className: 'facts' },
    there.map(([title, value]) => [h('dt', {}, title), h('dd', {}, value instanceof Node ? value : name(value))]),
  );
}

/** A note about something that went wrong. */
export const trouble = (text) => h('p', { className: 'trouble', role: 'alert' }, name(text));

/** What is shown where there is nothing yet. */
export const empty = (title, ...more) => h('div', { className: 'empty' }, h('h2', {}, title), ...more);

/** Offer bytes as a file. */
export function save(filename, content, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  h('a', { href: url, download: filename }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
