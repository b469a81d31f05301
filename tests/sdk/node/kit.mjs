// Cases, assertions and a look at the mock, for the tests of the Node SDK.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export const FOLDER = process.env.SDK_NODE;
const load = (file) => import(pathToFileURL(join(FOLDER, 'node_modules', 'openai', file)));
// Node 18 has no global File; this is what the SDK then asks for.
globalThis.File ??= (await import('node:buffer')).File;
export const sdk = await load('index.mjs');
const { VERSION } = await load('version.mjs');
export const OpenAI = sdk.default;

export const SLACK = Number(process.env.SDK_SLACK);
export const SOLO = process.env.SDK_SOLO;
export const BARE = process.env.SDK_BARE;
export const WORDS = 'The weir holds back.';
export const HELLO = [{ role: 'user', content: 'Hello' }];
const MOCK = process.env.SDK_MOCK;
const TIMEOUT_MS = 20000 * SLACK;
const SIDE_BY_SIDE = 4;

const cases = [];
let numbers = 0;

/** A case that may run beside others. */
export const test = (name, run) => cases.push({ name, run, free: true });

/** A case that measures time or loads the machine: nothing else of this program runs then. */
export const alone = (name, run) => cases.push({ name, run, free: false });

/** A model of the mock that behaves so, counted apart from all others. */
export function model(behaviour, provider = 'up') {
  const name = `${behaviour}@node-${numbers++}`;
  return provider ? `${provider}/${name}` : name;
}

/** What the mock was asked for `name`; with `gone`, once nothing of it is open. */
export async function seen(name, gone = false) {
  const query = new URLSearchParams({ model: name.slice(name.indexOf('/') + 1), ...(gone && { gone: 1 }) });
  const answer = await fetch(`${MOCK}/_seen?${query}`);
  return answer.json();
}

/** Seconds (monotonic) at which the mock saw that the gateway had left; it must have. */
export async function leftAfter(name) {
  const [request] = await seen(name, true);
  ok(request.gone_at && !request.done, `the upstream was not cancelled: ${JSON.stringify(request)}`);
  return request.gone_at;
}

/** Seconds on the machine's monotonic clock, the one of the mock. */
export const now = () => Number(process.hrtime.bigint()) / 1e9;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let shared;
/** The SDK as applications make it: everything comes from the environment. */
export function client(more) {
  if (more) return new OpenAI({ timeout: TIMEOUT_MS, ...more });
  shared ??= new OpenAI({ timeout: TIMEOUT_MS });
  return shared;
}

export const equal = assert.deepEqual;
export const ok = assert.ok;

/** `high` is a limit on time and grows with the slack. */
export function between(value, low, high, what) {
  ok(low <= value && value <= high * SLACK, `${what}: expected ${low} to ${high}, came ${value}`);
}

/** The error of exactly this class that call() rejects with. */
export async function raises(kind, call) {
  let value;
  try {
    value = await call();
  } catch (error) {
    if (error.constructor !== kind) throw new Error(`expected ${kind.name}`, { cause: error });
    return error;
  }
  throw new Error(`expected ${kind.name}, came ${JSON.stringify(value)}`);
}

export async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

/** The text of the first choice of a stream, or of the chunks of one. */
export async function textOf(stream) {
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  return text;
}

/** An error's stack, and those of its causes. */
function story(error) {
  const told = `${error.stack ?? error}`;
  return error.cause ? `${told}\ncaused by ${story(error.cause)}` : told;
}

async function runOne({ name, run }) {
  const row = { case: name };
  const started = now();
  let timer;
  try {
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('the case does not end')), TIMEOUT_MS * 1.5);
    });
    await Promise.race([run(), late]);
  } catch (error) {
    row.error = story(error);
  }
  clearTimeout(timer);
  row.seconds = now() - started;
  process.stdout.write(`${JSON.stringify(row)}\n`);
}

/** All cases that the filter takes: first those that go side by side, then one by one. */
export async function run() {
  process.stdout.write(`${JSON.stringify({ sdk: `openai-node ${VERSION}, Node ${process.version}` })}\n`);
  const wanted = new RegExp(process.env.SDK_FILTER ?? '');
  const chosen = cases.filter((one) => wanted.test(one.name));
  const free = chosen.filter((one) => one.free);
  const lane = async () => {
    while (free.length > 0) await runOne(free.shift());
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, lane));
  for (const one of chosen.filter((each) => !each.free)) await runOne(one);
  process.stdout.write(`${JSON.stringify({ cases: chosen.length })}\n`, () => process.exit(0));
}
