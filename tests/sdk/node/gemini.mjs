// The Google GenAI SDK: generateContent, whole and as streams, on every wire behind.
import { ApiError, GoogleGenAI } from '@google/genai';
import {
  TIMEOUT_MS, WIRES, WORDS, all, alone, between, equal, leftAfter, modelOn, now, ok, onEachWire, raises, seen,
  throughWeir,
} from './kit.mjs';
import { CALLS, CITY, LONG, LONG_DIGEST, RIVER, RIVER_SCHEMA, SCRIPT, THOUGHTS, ZONE, isLarge } from './said.mjs';

const TOOLS = [{
  functionDeclarations: [
    { name: 'weather', description: "Today's weather", parametersJsonSchema: CITY },
    { name: 'clock', parametersJsonSchema: ZONE },
  ],
}];
const httpOptions = { baseUrl: process.env.GOOGLE_GEMINI_BASE_URL, timeout: TIMEOUT_MS };
const client = (apiKey) => new GoogleGenAI({ apiKey, httpOptions });
const shared = client(process.env.GEMINI_API_KEY);
const ask = (model, contents = 'Hello', config = {}, own = shared) =>
  own.models.generateContent({ model, contents, config });
const stream = (model, contents = 'Hello', config = {}) =>
  shared.models.generateContentStream({ model, contents, config });

const textOf = (chunks) => chunks.map((c) => c.text ?? '').join('');
const words = async (name) => textOf(await all(await stream(name)));
const callsOf = (answers) => answers.flatMap((a) => a.functionCalls ?? []).map((c) => [c.name, c.args]);
/** [input, of it cached, output with thoughts, all] */
const counted = (usage) => [
  usage.promptTokenCount, usage.cachedContentTokenCount ?? 0,
  (usage.candidatesTokenCount ?? 0) + (usage.thoughtsTokenCount ?? 0), usage.totalTokenCount,
];

onEachWire('chat', async (wire) => {
  const name = modelOn(wire, 'plain');
  const answer = await ask(name, 'Hello', { systemInstruction: 'Be brief.', temperature: 0.5 });
  equal(answer.text, WORDS);
  equal([answer.candidates[0].content.role, answer.candidates[0].finishReason], ['model', 'STOP']);
  equal(counted(answer.usageMetadata), [9, 2, 4, 13]);
  equal((await seen(name)).length, 1);
});

onEachWire('stream-text', async (wire) => {
  const chunks = await all(await stream(modelOn(wire, 'plain')));
  equal(textOf(chunks), WORDS);
  equal(chunks.at(-1).candidates[0].finishReason, 'STOP');
  equal(counted(chunks.at(-1).usageMetadata), [9, 2, 4, 13]);
});

onEachWire('cut-at-max-tokens', async (wire) =>
  equal((await ask(modelOn(wire, 'length'))).candidates[0].finishReason, 'MAX_TOKENS'));

const user = (...parts) => ({ role: 'user', parts });
const result = (call, text) =>
  ({ functionResponse: { id: call.id, name: call.name, response: { result: text } } });

onEachWire('tools-parallel-and-results', async (wire) => {
  const name = modelOn(wire, 'tools');
  const first = await ask(name, 'Hello', { tools: TOOLS });
  equal(callsOf([first]), CALLS.map((call) => call.slice(1)));
  const results = first.functionCalls.map((call, i) => result(call, ['sunny', 'noon'][i]));
  const contents = [user({ text: 'Hello' }), first.candidates[0].content, user(...results)];
  equal((await ask(name, contents, { tools: TOOLS })).text, 'sunny / noon');
});

onEachWire('stream-tools', async (wire) => {
  const chunks = await all(await stream(modelOn(wire, 'tools'), 'Hello', { tools: TOOLS }));
  equal(callsOf(chunks), CALLS.map((call) => call.slice(1)));
});

// Thoughts, a text and a call. What came goes back with the result, signature and all.
onEachWire('thoughts-and-a-tool', async (wire) => {
  for (const streamed of [false, true]) {
    const name = modelOn(wire, 'reason');
    const config = { tools: TOOLS, thinkingConfig: { includeThoughts: true } };
    const answers = streamed ? await all(await stream(name, 'Hello', config)) : [await ask(name, 'Hello', config)];
    const parts = answers.flatMap((a) => a.candidates[0].content.parts);
    equal(parts.filter((p) => p.thought).map((p) => p.text).join(''), THOUGHTS);
    equal(parts.filter((p) => !p.thought).map((p) => p.text ?? '').join(''), 'I look.');
    equal(callsOf(answers), [CALLS[0].slice(1)]);
    const { functionCall } = parts.find((p) => p.functionCall);
    const contents = [user({ text: 'Hello' }), { role: 'model', parts }, user(result(functionCall, 'sunny'))];
    equal((await ask(name, contents, config)).text, 'sunny');
    if (wire !== 'gemini') continue;
    const back = (await seen(name))[1].body.contents.flatMap((c) => c.parts).find((p) => p.functionCall);
    ok(back.thoughtSignature, 'the signature is lost');
  }
});

onEachWire('json-schema', async (wire) => {
  const config = { responseMimeType: 'application/json', responseJsonSchema: RIVER_SCHEMA };
  equal(JSON.parse((await ask(modelOn(wire, 'schema'), 'Hello', config)).text), RIVER);
});

throughWeir('error-401-wrong-key', async () => {
  const error = await raises(ApiError, () => ask('chat', 'Hello', {}, client('wk-sdk-0123456789abcdee')));
  equal([error.status, JSON.parse(error.message).error.status], [401, 'UNAUTHENTICATED']);
});

throughWeir('error-404-unknown-model', async () => {
  const error = await raises(ApiError, () => ask('chatt'));
  equal([error.status, JSON.parse(error.message).error.status], [404, 'NOT_FOUND']);
});

onEachWire('error-400-of-the-upstream', async (wire) => {
  for (const call of [ask, stream]) {
    const error = await raises(ApiError, () => call(modelOn(wire, 'picky')));
    equal([error.status, JSON.parse(error.message).error.status], [400, 'INVALID_ARGUMENT']);
    ok(error.message.includes('does not support 9'), error.message);
  }
});

onEachWire('error-429', async (wire) => {
  const error = await raises(ApiError, () => ask(modelOn(wire, 'always-limited')));
  equal([error.status, JSON.parse(error.message).error.status], [429, 'RESOURCE_EXHAUSTED']);
});

/** {text so far, the error} of a stream that must not end well. */
async function brokenStream(name) {
  let text = '';
  try {
    for await (const chunk of await stream(name)) text += chunk.text ?? '';
  } catch (error) {
    return { text, error };
  }
  throw new Error(`ended as if it were complete: ${text}`);
}

onEachWire('error-frame-in-a-stream', async (wire) => {
  const { text, error } = await brokenStream(modelOn(wire, 'frame'));
  ok(['The weir ', 'The ', ''].includes(text), text);
  ok(error instanceof ApiError && error.message.includes('out of memory'), `${error}`);
});

throughWeir('stream-cut-by-the-upstream', async () => {
  for (const wire of WIRES) {
    for (const how of ['cut', 'cut-clean']) {
      const { error } = await brokenStream(modelOn(wire, how));
      ok(error instanceof ApiError && error.status >= 500, `${how} on ${wire}: ${error}`);
    }
  }
});

onEachWire('one-megabyte', async (wire) => {
  equal((await ask(modelOn(wire, 'digest'), LONG)).text, LONG_DIGEST);
  isLarge(await words(modelOn(wire, 'large')));
});

onEachWire('stream-utf8-split-at-every-byte', async (wire) =>
  ok((await words(modelOn(wire, 'split'))).startsWith(SCRIPT)));

throughWeir('stream-comments', async () => {
  for (const wire of WIRES) equal(await words(modelOn(wire, 'comments')), WORDS, wire);
});

alone('abort-in-a-stream', async () => {
  for (const wire of WIRES) {
    const name = modelOn(wire, 'endless');
    const leaving = new AbortController();
    let left;
    let count = 0;
    try {
      for await (const _ of await stream(name, 'Hello', { abortSignal: leaving.signal })) {
        if (++count !== 5) continue;
        left = now();
        leaving.abort();
      }
    } catch (error) {
      if (error.name !== 'AbortError') throw error;
    }
    between((await leftAfter(name)) - left, -0.001, 0.1, `seconds to the upstream on ${wire}`);
  }
});
