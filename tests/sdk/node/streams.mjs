// Streams: usage, tools, characters cut in pieces, comments, leaving, many at once.
import {
  HELLO, SOLO, WORDS, all, alone, between, equal, leftAfter, model, now, ok, raises, sleep, test,
  seen,
} from './kit.mjs';
import { client, sdk, textOf } from './openai_sdk.mjs';
import { ARGUMENTS, CLOCK, WEATHER } from './answers.mjs';

const SCRIPT = 'a\u00e9\u4e2d\u{1f30a} \u{1f1e9}\u{1f1ea} e\u0301 \u{1f469}\u200d\u{1f467} \u05e9';
const MANY = 100;

const open = (name, more = {}, own = client(), options = {}) =>
  own.chat.completions.create({ model: name, messages: HELLO, stream: true, ...more }, options);

const words = async (name) => textOf(await open(name));

test('stream-without-usage', async () => {
  const name = model('plain');
  const chunks = await all(await open(name));
  equal(await textOf(chunks), WORDS);
  equal(chunks.at(-1).choices[0].finish_reason, 'stop');
  ok(chunks.every((c) => c.choices.length === 1), 'a chunk without choices');
  ok(chunks.every((c) => !('usage' in c)), 'a field `usage`');
  equal(new Set(chunks.map((c) => c.id)).size, 1);
  equal((await seen(name))[0].body.stream_options, { include_usage: true });
});

test('stream-with-usage', async () => {
  const chunks = await all(await open(model('plain'), { stream_options: { include_usage: true } }));
  equal(await textOf(chunks), WORDS);
  const last = chunks.pop();
  equal(last.choices, []);
  equal([last.usage.total_tokens, last.usage.prompt_tokens_details.cached_tokens], [13, 2]);
  ok(chunks.every((c) => c.usage === null), '`usage: null` in all others');
});

// What the SDK never shows: the terminator, and no trace of usage.
test('stream-raw-bytes', async () => {
  const answer = await open(model('plain')).asResponse();
  equal(answer.headers.get('content-type').split(';')[0], 'text/event-stream');
  ok(answer.headers.get('x-weir-request-id'));
  const text = await answer.text();
  ok(text.endsWith('data: [DONE]\n\n'), text.slice(-200));
  ok(!text.includes('usage'), 'usage in a stream that did not ask');
});

// `.stream()` gathers events into a completion.
test('stream-helper', async () => {
  const stream = client().chat.completions.stream({ model: model('plain'), messages: HELLO });
  let text = '';
  stream.on('content', (delta) => {
    text += delta;
  });
  const final = await stream.finalChatCompletion();
  equal([final.choices[0].message.content, text], [WORDS, WORDS]);
});

test('stream-n-2', async () => {
  const texts = ['', ''];
  const finished = [];
  for await (const chunk of await open(model('two'), { n: 2 })) {
    const [choice] = chunk.choices;
    texts[choice.index] += choice.delta.content ?? '';
    if (choice.finish_reason) finished[choice.index] = choice.finish_reason;
  }
  equal(texts, ['left one', 'right two']);
  equal(finished, ['stop', 'stop']);
});

test('stream-tools', async () => {
  const calls = [];
  let finish;
  for await (const chunk of await open(model('tools'), { tools: [WEATHER, CLOCK] })) {
    finish = chunk.choices[0].finish_reason ?? finish;
    for (const part of chunk.choices[0].delta.tool_calls ?? []) {
      calls[part.index] ??= { id: '', name: '', text: '' };
      calls[part.index].id += part.id ?? '';
      calls[part.index].name += part.function.name ?? '';
      calls[part.index].text += part.function.arguments ?? '';
    }
  }
  equal(finish, 'tool_calls');
  equal(calls.map((c) => [c.id, c.name]), [['call_a', 'weather'], ['call_b', 'clock']]);
  equal(calls.map((c) => JSON.parse(c.text)), ARGUMENTS);
});

test('stream-tools-helper', async () => {
  const stream = client().chat.completions.stream({
    model: model('tools-in-turn'),
    messages: HELLO,
    tools: [WEATHER, CLOCK],
  });
  const done = [];
  stream.on('tool_calls.function.arguments.done', (e) => done.push([e.index, e.name, JSON.parse(e.arguments)]));
  await stream.done();
  equal(done, [[0, 'weather', ARGUMENTS[0]], [1, 'clock', ARGUMENTS[1]]]);
});

// First bytes come one by one, then UTF-16 units; joined, both are the same text.
test('stream-utf8-split-at-every-byte', async () => equal(await words(model('split')), SCRIPT + SCRIPT));

test('stream-of-one-megabyte', async () => {
  const text = await words(model('large'));
  ok(Buffer.byteLength(text) > 900000, `${Buffer.byteLength(text)} bytes`);
  equal(text.replaceAll(text.slice(0, text.length / 50), ''), '');
});

test('stream-comments', async () => equal(await words(model('comments')), WORDS));

// Words that are made 30 ms apart arrive apart.
alone('stream-comes-as-it-is-made', async () => {
  const times = [];
  for await (const chunk of await open(model('slow'))) if (chunk.choices[0].delta.content) times.push(now());
  equal(times.length, 12);
  const gaps = times.slice(1).map((t, i) => t - times[i]);
  ok(gaps.filter((gap) => gap > 0.015).length >= 9, `gaps: ${gaps}`);
});

// The head comes early, with comments until there is something to say.
alone('stream-kept-open-while-waiting', async () => {
  const own = client({ baseURL: `${SOLO}/v1` });
  const started = now();
  const stream = await open(model('late', ''), {}, own);
  between(now() - started, 0.15, 0.6, 'seconds to the head');
  equal(await textOf(stream), WORDS);
  ok(now() - started > 0.85, 'the upstream did not wait');
  const text = await (await open(model('late', ''), {}, own).asResponse()).text();
  ok(text.split('\n').filter((line) => line.startsWith(':')).length >= 2, text.slice(0, 200));
});

async function abort(way) {
  const name = model('endless');
  const leaving = new AbortController();
  const stream = await open(name, {}, client(), { signal: leaving.signal });
  let left;
  let count = 0;
  for await (const _ of stream) {
    if (++count !== 5) continue;
    left = now();
    if (way === 'break') break;
    if (way === 'controller') stream.controller.abort();
    if (way === 'signal') leaving.abort();
  }
  between((await leftAfter(name)) - left, -0.001, 0.1, `seconds from ${way} to the upstream`);
}

// Breaking out, the stream's own controller and a signal each cancel the upstream at once.
alone('abort-in-a-stream', async () => {
  for (const way of ['break', 'controller', 'signal']) await abort(way);
});

alone('abort-while-waiting', async () => {
  const name = model('silent');
  const leaving = new AbortController();
  const answer = raises(sdk.APIUserAbortError, () =>
    client().chat.completions.create({ model: name, messages: HELLO }, { signal: leaving.signal }));
  await sleep(200);
  const left = now();
  leaving.abort();
  await answer;
  between((await leftAfter(name)) - left, -0.001, 0.1, 'seconds from abort to the upstream');
});

// The client's own limit: a typed error, and the upstream is let go.
alone('timeout-while-waiting', async () => {
  const name = model('silent');
  const own = client({ timeout: 400, maxRetries: 0 });
  const started = now();
  await raises(sdk.APIConnectionTimeoutError, () => own.chat.completions.create({ model: name, messages: HELLO }));
  between(now() - started, 0.35, 1.0, 'seconds until the error');
  between((await leftAfter(name)) - started, 0.35, 0.6, 'seconds until the upstream was let go');
});

// A hundred streams; none lacks a word, and they overlap.
alone('many-streams-at-once', async () => {
  const started = now();
  const texts = await Promise.all(Array.from({ length: MANY }, () => words(model('slow'))));
  equal([...new Set(texts)], [WORDS.repeat(3)]);
  // One after the other they would take 100 times 360 ms.
  between(now() - started, 0.36, 10.0, 'seconds for all');
});

// A hundred streams that are all left: nothing stays open at the upstream.
alone('many-streams-aborted', async () => {
  const names = Array.from({ length: MANY }, () => model('endless'));
  await Promise.all(names.map(async (name) => {
    for await (const _ of await open(name)) break;
  }));
  for (const name of names) await leftAfter(name);
});
