// What is asked of the server, and the one picture of all runs that every view shares.

/** What the server refused, in its words. */
export class Refused extends Error {
  constructor(status, told) {
    super(told?.message ?? `the server answered ${status}`);
    this.status = status;
    this.param = told?.param ?? null;
  }
}

async function answered(response) {
  if (response.ok) return response;
  let told = null;
  try {
    told = (await response.json()).error;
  } catch {
    /* not ours */
  }
  throw new Refused(response.status, told);
}

/** GET as JSON. */
export const get = async (path, signal) => (await answered(await fetch(path, { signal }))).json();

/** POST JSON, get JSON. */
export async function post(path, body, signal) {
  const headers = { 'content-type': 'application/json' };
  return (await answered(await fetch(path, { method: 'POST', headers, body: JSON.stringify(body), signal }))).json();
}

/** POST files and fields as a form, get JSON. */
export async function upload(path, files, fields, signal) {
  const form = new FormData();
  for (const [key, value] of Object.entries(fields)) if (value !== null && value !== undefined && value !== '') form.append(key, value);
  for (const file of files) form.append('image', file, 'picture');
  return (await answered(await fetch(path, { method: 'POST', body: form, signal }))).json();
}

/** POST JSON, then each server-sent event as [name, data]. */
export async function* stream(path, body, signal) {
  const headers = { 'content-type': 'application/json' };
  const response = await answered(await fetch(path, { method: 'POST', headers, body: JSON.stringify(body), signal }));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let held = ''; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const parts = held.split('\n\n');
    held = parts.pop();
    for (const part of parts) {
      const lines = Object.fromEntries(part.split('\n').map((line) => line.split(/: (.*)/s)));
      const data = JSON.parse(lines.data);
      if (lines.event === 'error') throw new Refused(503, data.error);
      yield [lines.event, data];
    }
  }
}

const EVERY = 1000,
  HIDDEN = 5000;
const hearers = new Set();
let known = null,
  tag = '',
  timer = 0,
  asking = false;

/** All runs as last heard of; null before the first answer. */
export const runs = () => known;
export const runOf = (id) => known?.find((run) => run.id === id);

/** Hear of runs whenever something changes, at once if they are known, until `signal` aborts. */
export function watch(hear, signal) {
  hearers.add(hear);
  signal.addEventListener('abort', () => hearers.delete(hear));
  if (known) hear(known);
}

/** Ask now, and from then on again and again. */
export async function poll() {
  clearTimeout(timer);
  if (!asking) {
    asking = true;
    try {
      await ask();
      heard(true);
    } catch (error) {
      heard(error instanceof Refused);
    } finally {
      asking = false;
    }
  }
  timer = setTimeout(poll, document.hidden ? HIDDEN : EVERY);
}

async function ask() {
  const response = await fetch('/v1/runs', {
    headers: tag ? { 'if-none-match': tag } : {},
    cache: 'no-store',
    signal: AbortSignal.timeout(10000),
  });
  if (response.status === 304) return;
  known = (await (await answered(response)).json()).data;
  tag = response.headers.get('etag') ?? '';
  for (const hear of [...hearers]) hear(known);
}

function heard(well) {
  const bar = document.getElementById('offline');
  if (bar.hidden !== well) bar.hidden = well;
}

document.addEventListener('visibilitychange', () => {
  if (!document.hidden) poll();
});

let about = null;
/** Limits, solvers and families of the server. */
export async function server() {
  about ??= await get('/v1/about');
  return about;
}
