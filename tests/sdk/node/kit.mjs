// Cases, assertions and a look at the mock, for the programs of all Node clients.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const NAME = process.env.SDK_NAME;
export const DIRECT = Boolean(process.env.SDK_DIRECT);
export const SLACK = Number(process.env.SDK_SLACK);
export const SOLO = process.env.SDK_SOLO;
export const BARE = process.env.SDK_BARE;
export const WORDS = 'The weir holds back.';
export const HELLO = [{ role: 'user', content: 'Hello' }];
const MOCK = process.env.SDK_MOCK;
export const TIMEOUT_MS = 20000 * SLACK;
const SIDE_BY_SIDE = 4;

// The providers of the gateway, by the wire that they speak; without Weir none has a name.
const PROVIDERS = { chat: 'compatible', anthropic: 'anthropic', gemini: 'gemini', responses: 'responses' };
export const WIRES = process.env.SDK_WIRES.split(' ');

const cases = [];
let numbers = 0;

/** A case that may run beside others. */
export const test = (name, run) => cases.push({ name, run, free: true });

/** A case for every wire that Weir may speak behind: run(wire). */
export const onEachWire = (name, run) => {
  for (const wire of WIRES) test(`${name}-on-${wire}`, () => run(wire));
};

/** A case that makes no sense where the client talks to the mock itself. */
export const throughWeir = (name, run) => DIRECT || test(name, run);

/** A case that measures time or loads the machine: nothing else of this program runs then. */
export const alone = (name, run) => cases.push({ name, run, free: false });

/** A model of the mock that behaves so, counted apart from all others. */
export function model(behaviour, provider = 'up') {
  const name = `${behaviour}@${NAME}-${numbers++}`;
  return provider && !DIRECT ? `${provider}/${name}` : name;
}

/** The same where this wire is spoken. */
export const modelOn = (wire, behaviour) => model(behaviour, PROVIDERS[wire]);

/** The name of an alias that behaves so, and of the model behind it. */
export const aliasOf = (behaviour) => [`${behaviour}-${NAME}`, `${behaviour}@${NAME}`];

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
export async function run(name) {
  const file = new URL(`node_modules/${name}/package.json`, import.meta.url);
  const { version } = JSON.parse(readFileSync(file));
  process.stdout.write(`${JSON.stringify({ sdk: `${name} ${version}, Node ${process.version}` })}\n`);
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
