// The Vercel AI SDK with each of its providers, on every wire behind.
import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import {
  APICallError, RetryError, embedMany, generateObject, generateText, jsonSchema, stepCountIs, streamText, tool,
} from 'ai';
import {
  DIRECT, WIRES, WORDS, all, alone, between, equal, leftAfter, model, modelOn, now, ok, seen, test,
  throughWeir,
} from './kit.mjs';
import { CALLS, CITY, LONG, LONG_DIGEST, RIVER, RIVER_SCHEMA, SCRIPT, THOUGHTS, ZONE, isLarge } from './said.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;
const BASE = process.env.ANTHROPIC_BASE_URL;
const KEY = process.env.OPENAI_API_KEY;
const openai = (apiKey = KEY) => createOpenAI({ baseURL: `${BASE}/v1`, apiKey });
const compatible = (apiKey = KEY) =>
  createOpenAICompatible({
    name: 'weir', baseURL: `${BASE}/v1`, apiKey, includeUsage: true, supportsStructuredOutputs: true,
  });

// Provider: [the wire that it speaks, what makes a model of a name and a key]
const PROVIDERS = {
  'openai-responses': ['responses', (name, key) => openai(key)(name)],
  'openai-chat': ['chat', (name, key) => openai(key).chat(name)],
  compatible: ['chat', (name, key) => compatible(key)(name)],
  anthropic: ['anthropic', (name, apiKey = KEY) => createAnthropic({ baseURL: `${BASE}/v1`, apiKey })(name)],
  google: ['gemini', (name, apiKey = KEY) =>
    createGoogleGenerativeAI({ baseURL: `${BASE}/v1beta`, apiKey })(`models/${name}`)],
};
// A name with a slash is a path to the Google provider, so it gets `models/` in front.
// OpenAI's chat has no place for thoughts; the others have.
const thinks = (provider) => provider !== 'openai-chat';

/** A case for each provider and each wire behind: run(make, wire, provider), with make(behaviour). */
function onEach(name, run) {
  for (const [provider, [own, build]] of Object.entries(PROVIDERS)) {
    for (const wire of DIRECT ? [own] : WIRES) {
      const make = (behaviour) => build(modelOn(wire, behaviour));
      test(`${name}-${provider}-on-${wire}`, () => run(make, wire, provider));
    }
  }
}

const tools = () => ({
  weather: tool({ description: "Today's weather", inputSchema: jsonSchema(CITY), execute: async () => 'sunny' }),
  clock: tool({ description: 'The time', inputSchema: jsonSchema(ZONE), execute: async () => 'noon' }),
});
const ask = (of, more = {}) => generateText({ model: of, prompt: 'Hello', ...more });
const stream = (of, more = {}) => streamText({ model: of, prompt: 'Hello', onError: () => {}, ...more });
const counted = (usage) => [usage.inputTokens, usage.outputTokens, usage.cachedInputTokens];

onEach('text', async (make) => {
  const answer = await ask(make('plain'), { system: 'Be brief.' });
  equal([answer.text, answer.finishReason], [WORDS, 'stop']);
  equal(counted(answer.usage), [9, 4, 2]);
});

onEach('stream', async (make) => {
  const result = stream(make('plain'));
  equal((await all(result.textStream)).join(''), WORDS);
  equal([await result.finishReason, counted(await result.usage)], ['stop', [9, 4, 2]]);
});

// The SDK calls both tools by itself, sends what they said, and the answer is made of it.
// By default OpenAI's Responses keep what was said, and the SDK refers to it by its id.
const stores = (provider) => (provider === 'openai-responses' ? [undefined, false] : [undefined]);

// To Gemini the SDK sends a result as {name, content}, and so it comes to others, as JSON.
const saidBoth = (text, provider) => (provider === 'google'
  ? ok(/sunny.*noon/.test(text), text) : equal(text, 'sunny / noon'));

onEach('tools', async (make, wire, provider) => {
  for (const store of stores(provider)) {
    const more = { tools: tools(), stopWhen: stepCountIs(3), providerOptions: { openai: { store } } };
    const answer = await ask(make('tools'), more);
    equal(answer.steps[0].toolCalls.map((c) => [c.toolName, c.input]), CALLS.map((call) => call.slice(1)));
    equal(answer.steps[0].finishReason, 'tool-calls');
    saidBoth(answer.text, provider);
  }
});

onEach('stream-tools', async (make, wire, provider) => {
  const result = stream(make('tools-in-turn'), { tools: tools(), stopWhen: stepCountIs(3) });
  saidBoth((await all(result.textStream)).join(''), provider);
  const [first] = await result.steps;
  equal(first.toolCalls.map((c) => [c.toolName, c.input]), CALLS.map((call) => call.slice(1)));
});

// Thoughts, a text and a call; the SDK sends all of it back with the result. Where it is not told to
// store nothing, its Responses client refers to what OpenAI has stored, which no other wire can serve.
onEach('thoughts-and-a-tool', async (make, wire, provider) => {
  const stored = provider === 'openai-responses' && wire !== 'responses';
  if (stored) {
    const refused = await failure(() => ask(make('reason'), { tools: tools(), stopWhen: stepCountIs(3) }));
    equal(refused.statusCode, 400);
    ok(refused.message.includes('"store": false'), refused.message);
  }
  for (const [streamed, store] of stored ? [[false, false], [true, false]] : [[false], [true], [true, false]]) {
    const more = { tools: tools(), stopWhen: stepCountIs(3), providerOptions: { openai: { store } } };
    const answer = streamed ? stream(make('reason'), more) : await ask(make('reason'), more);
    if (streamed) await answer.consumeStream();
    const [first] = await answer.steps;
    if (thinks(provider)) equal(first.reasoningText, THOUGHTS);
    equal(first.text, 'I look.');
    ok((await answer.text).includes('sunny'), await answer.text);
  }
});

onEach('object', async (make) => {
  const answer = await generateObject({ model: make('schema'), prompt: 'Hello', schema: jsonSchema(RIVER_SCHEMA) });
  equal(answer.object, RIVER);
});

onEach('cut-at-max-tokens', async (make) =>
  equal((await ask(make('length'), { maxOutputTokens: 16 })).finishReason, 'length'));

/** The error that the call ends with, without the list of tries around it. */
async function failure(call) {
  try {
    await call();
  } catch (error) {
    const inner = RetryError.isInstance(error) ? error.lastError : error;
    ok(APICallError.isInstance(inner), `${inner.stack}`);
    return inner;
  }
  throw new Error('no error came');
}

for (const [provider, [, build]] of Object.entries(PROVIDERS)) {
  throughWeir(`error-401-wrong-key-${provider}`, async () => {
    const error = await failure(() => ask(build('chat', 'wk-sdk-0123456789abcdee')));
    equal([error.statusCode, error.isRetryable], [401, false]);
    ok(error.message.length > 10 && !error.message.includes('abcdee'), error.message);
  });

  throughWeir(`error-404-unknown-model-${provider}`, async () => {
    const error = await failure(() => ask(build('chatt')));
    equal(error.statusCode, 404);
    ok(error.message.includes('`chatt`'), error.message);
  });
}

onEach('error-400', async (make) => {
  const error = await failure(() => ask(make('picky')));
  equal(error.statusCode, 400);
  ok(error.message.includes('does not support 9'), error.message);
});

onEach('error-429-then-success', async (make) => equal((await ask(make('limited'))).text, WORDS));

/** [text, error] of a stream that must not end well. */
async function broken(of) {
  let text = '';
  for await (const part of stream(of).fullStream) {
    if (part.type === 'text-delta') text += part.text;
    if (part.type === 'error') return [text, part.error];
  }
  throw new Error(`ended as if it were complete: ${text}`);
}

onEach('error-frame', async (make) => {
  const [text, error] = await broken(make('frame'));
  equal(text, 'The weir ');
  ok((error.message ?? JSON.stringify(error)).includes('out of memory'), `${error.stack ?? JSON.stringify(error)}`);
});

onEach('one-megabyte', async (make) => {
  equal((await ask(make('digest'), { prompt: LONG })).text, LONG_DIGEST);
  isLarge((await all(stream(make('large')).textStream)).join(''));
});

onEach('stream-utf8-split', async (make) =>
  ok((await all(stream(make('split')).textStream)).join('').startsWith(SCRIPT)));

onEach('stream-comments', async (make) =>
  equal((await all(stream(make('comments')).textStream)).join(''), WORDS));

test('embeddings', async () => {
  for (const provider of [openai(), compatible()]) {
    const name = model('embed');
    const { embeddings } = await embedMany({ model: provider.textEmbeddingModel(name), values: ['weir', 'Wehr'] });
    equal(embeddings.map((e) => e.length), [8, 8]);
    equal((await seen(name)).length, 1);
  }
});

for (const [provider, [own, build]] of Object.entries(PROVIDERS)) {
  alone(`abort-${provider}`, async () => {
    for (const wire of DIRECT ? [own] : WIRES) {
      const name = modelOn(wire, 'endless');
      const leaving = new AbortController();
      let left;
      let count = 0;
      for await (const part of stream(build(name), { abortSignal: leaving.signal }).fullStream) {
        if (part.type !== 'text-delta' || ++count !== 5) continue;
        left = now();
        leaving.abort();
      }
      between((await leftAfter(name)) - left, -0.001, 0.15, `seconds to the upstream on ${wire}`);
    }
  });
}
