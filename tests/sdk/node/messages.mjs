// The Anthropic SDK: Messages, whole and as streams, on every wire behind. Which SDK is the
// program's own name: 1.x sends the key as a bearer token, 0.x as x-api-key, each with its own version.
import './file.mjs';
import {
  TIMEOUT_MS, WIRES, WORDS, all, alone, between, equal, leftAfter, modelOn, now, ok, onEachWire, raises, seen,
  test, throughWeir,
} from './kit.mjs';
import { CALLS, CITY, LONG, LONG_DIGEST, RIVER, RIVER_SCHEMA, SCRIPT, THOUGHTS, ZONE, isLarge } from './said.mjs';

const sdk = await import(process.env.SDK_PACKAGE);
const old = process.env.SDK_PACKAGE === 'anthropic-0';
const Anthropic = sdk.default;
const HELLO = [{ role: 'user', content: 'Hello' }];
const TOOLS = [
  { name: 'weather', description: "Today's weather", input_schema: CITY },
  { name: 'clock', input_schema: ZONE },
];
const shared = new Anthropic({ timeout: TIMEOUT_MS });
const client = (more) => new Anthropic({ timeout: TIMEOUT_MS, ...more });
const ask = (model, more = {}, own = shared, options = {}) =>
  own.messages.create({ model, max_tokens: 100, messages: HELLO, ...more }, options);
const stream = (model, more = {}, own = shared) =>
  own.messages.stream({ model, max_tokens: 100, messages: HELLO, ...more });
const ownModel = (behaviour) => modelOn('anthropic', behaviour);

const textOf = (message) => message.content.filter((b) => b.type === 'text').map((b) => b.text).join('');
const callsOf = (message) =>
  message.content.filter((b) => b.type === 'tool_use').map((b) => [b.id, b.name, b.input]);
/** [all input, of it cached, output]: the same on every wire. */
const counted = (usage) => {
  const cached = usage.cache_read_input_tokens ?? 0;
  return [usage.input_tokens + cached + (usage.cache_creation_input_tokens ?? 0), cached, usage.output_tokens];
};

onEachWire('chat', async (wire) => {
  const name = modelOn(wire, 'plain');
  const answer = await ask(name, { system: 'Be brief.' });
  equal([answer.type, answer.role, answer.stop_reason], ['message', 'assistant', 'end_turn']);
  equal(answer.content.map((b) => [b.type, b.text]), [['text', WORDS]]);
  equal(counted(answer.usage), [9, 2, 4]);
  ok(answer.id && answer.model);
  equal((await seen(name)).length, 1);
});

test('fields-and-version-pass', async () => {
  const name = ownModel('plain');
  const answer = await ask(name, { metadata: { user_id: 'u-1' }, of_tomorrow: { deep: [1, 2.5, null] } },
    shared, { headers: { 'anthropic-beta': 'of-tomorrow-2027-01-01,other' } });
  equal(answer.x_unknown, { kept: [1] });
  const [request] = await seen(name);
  equal(request.body.of_tomorrow, { deep: [1, 2.5, null] });
  equal(request.body.metadata, { user_id: 'u-1' });
  equal(request.headers['anthropic-beta'], 'of-tomorrow-2027-01-01,other');
  equal(request.headers['anthropic-version'], old ? '2023-06-01' : '2026-10-21');
});

// Every event in its order; the numbers of the last count.
onEachWire('stream-events', async (wire) => {
  const events = await all(await ask(modelOn(wire, 'plain'), { stream: true }));
  const kinds = events.map((e) => e.type).filter((kind, i, every) => kind !== every[i - 1]);
  equal(kinds, ['message_start', 'content_block_start', 'content_block_delta', 'content_block_stop',
    'message_delta', 'message_stop']);
  equal(events.filter((e) => e.type === 'content_block_delta').map((e) => e.delta.text).join(''), WORDS);
  const last = events.at(-2);
  equal([last.delta.stop_reason, last.usage.output_tokens], ['end_turn', 4]);
});

onEachWire('stream-helper', async (wire) => {
  let text = '';
  const message = await stream(modelOn(wire, 'plain')).on('text', (delta) => {
    text += delta;
  }).finalMessage();
  equal([text, textOf(message), message.stop_reason], [WORDS, WORDS, 'end_turn']);
  equal(counted(message.usage), [9, 2, 4]);
});

onEachWire('cut-at-max-tokens', async (wire) =>
  equal((await ask(modelOn(wire, 'length'))).stop_reason, 'max_tokens'));

// Two calls come, both results go back, and the answer is made of them.
onEachWire('tools-parallel-and-results', async (wire) => {
  const name = modelOn(wire, 'tools');
  const more = { tools: TOOLS, tool_choice: { type: 'auto' } };
  const first = await ask(name, more);
  equal([first.stop_reason, callsOf(first)], ['tool_use', CALLS]);
  const results = CALLS.map(([id], i) =>
    ({ type: 'tool_result', tool_use_id: id, content: ['sunny', 'noon'][i] }));
  const messages = [...HELLO, { role: 'assistant', content: first.content }, { role: 'user', content: results }];
  equal(textOf(await ask(name, { ...more, messages })), 'sunny / noon');
});

onEachWire('stream-tools', async (wire) => {
  const helper = stream(modelOn(wire, 'tools'), { tools: TOOLS });
  const parts = {};
  for await (const event of helper) {
    if (event.delta?.type === 'input_json_delta') {
      parts[event.index] = (parts[event.index] ?? '') + event.delta.partial_json;
    }
  }
  equal(Object.values(parts).map((text) => JSON.parse(text)), CALLS.map((call) => call[2]));
  const message = await helper.finalMessage();
  equal([message.stop_reason, callsOf(message)], ['tool_use', CALLS]);
});

// Thoughts, a text and a call; the thoughts go back with the result, signature and all.
onEachWire('thoughts-and-a-tool', async (wire) => {
  for (const streamed of [false, true]) {
    const name = modelOn(wire, 'reason');
    const more = { tools: TOOLS, thinking: { type: 'enabled', budget_tokens: 1024 }, max_tokens: 2048 };
    const first = streamed ? await stream(name, more).finalMessage() : await ask(name, more);
    equal(first.content.filter((b) => b.type === 'thinking').map((b) => b.thinking).join(''), THOUGHTS);
    equal([textOf(first), callsOf(first)], ['I look.', CALLS.slice(0, 1)]);
    const result = { type: 'tool_result', tool_use_id: 'call_a', content: 'sunny' };
    const messages = [...HELLO, { role: 'assistant', content: first.content }, { role: 'user', content: [result] }];
    equal(textOf(await ask(name, { ...more, messages })), 'sunny');
    if (wire !== 'anthropic') continue;
    const [, back] = (await seen(name))[1].body.messages;
    equal(back.content[0].thinking, THOUGHTS);
    ok(back.content[0].signature, 'the signature is lost');
  }
});

onEachWire('json-schema', async (wire) => {
  const format = { type: 'json_schema', schema: RIVER_SCHEMA };
  const answer = await ask(modelOn(wire, 'schema'), { output_config: { format } });
  equal(JSON.parse(textOf(answer)), RIVER);
});

test('the-beta-namespace', async () => {
  const name = ownModel('plain');
  const answer = await shared.beta.messages.create({
    model: name, max_tokens: 100, messages: HELLO, betas: ['of-tomorrow-2027-01-01'],
  });
  equal(textOf(answer), WORDS);
  equal((await seen(name))[0].headers['anthropic-beta'], 'of-tomorrow-2027-01-01');
});

// Where the provider counts, what it says. Nobody else can, which agents take a 404 for.
onEachWire('count-tokens', async (wire) => {
  const count = () =>
    shared.messages.countTokens({ model: modelOn(wire, 'plain'), messages: HELLO, tools: TOOLS });
  if (wire === 'anthropic') equal((await count()).input_tokens, 9);
  else ok((await raises(sdk.NotFoundError, count)).message.includes('count_tokens'));
});

throughWeir('models', async () => {
  const names = [];
  for await (const one of shared.models.list({ limit: 1000 })) names.push([one.type, one.id]);
  ok(names.some(([type, id]) => type === 'model' && id === 'chat'), `${names}`);
  equal((await shared.models.retrieve('chat')).id, 'chat');
});

throughWeir('error-401-wrong-key', async () => {
  const error = await raises(sdk.AuthenticationError, () =>
    ask('chat', {}, client({ apiKey: 'wk-sdk-0123456789abcdee' })));
  equal([error.status, error.error.type, error.error.error.type], [401, 'error', 'authentication_error']);
  ok(!error.message.includes('abcdee'), 'the key is in the message');
});

throughWeir('error-404-unknown-model', async () => {
  const error = await raises(sdk.NotFoundError, () => ask('chatt'));
  equal(error.error.error.type, 'not_found_error');
  ok(error.error.error.message.includes('`chatt`'));
});

onEachWire('error-400-of-the-upstream', async (wire) => {
  for (const streamed of [false, true]) {
    const error = await raises(sdk.BadRequestError, () => ask(modelOn(wire, 'picky'), { stream: streamed }));
    equal(error.error.error.type, 'invalid_request_error');
    ok(error.message.includes('does not support 9'), error.message);
  }
});

onEachWire('error-429-then-success', async (wire) => {
  for (const streamed of [false, true]) {
    const name = modelOn(wire, 'limited');
    const started = now();
    equal(streamed ? await stream(name).finalText() : textOf(await ask(name)), WORDS);
    equal((await seen(name)).length, 2);
    between(now() - started, 0.05, 3.0, 'seconds');
  }
});

test('error-500-twice-then-success', async () => {
  const name = ownModel('flaky');
  equal(textOf(await ask(name)), WORDS);
  equal((await seen(name)).length, 3);
});

/** {text so far, the error} of a stream that must not end well. */
async function brokenStream(name) {
  let text = '';
  try {
    for await (const event of await ask(name, { stream: true })) text += event.delta?.text ?? '';
  } catch (error) {
    ok(error instanceof sdk.APIError, `${error}`);
    return { text, error };
  }
  throw new Error(`ended as if it were complete: ${text}`);
}

onEachWire('error-frame-in-a-stream', async (wire) => {
  const { text, error } = await brokenStream(modelOn(wire, 'frame'));
  equal(text, 'The weir ');
  ok(error.message.includes('out of memory'), error.message);
});

throughWeir('stream-cut-by-the-upstream', async () => {
  for (const wire of WIRES) {
    for (const how of ['cut', 'cut-clean']) {
      const { text, error } = await brokenStream(modelOn(wire, how));
      equal([text, error.error.error.type], ['The weir ', 'api_error'], `${how} on ${wire}`);
    }
  }
});

onEachWire('one-megabyte', async (wire) => {
  const messages = [{ role: 'user', content: LONG }];
  equal(textOf(await ask(modelOn(wire, 'digest'), { messages })), LONG_DIGEST);
  isLarge(await stream(modelOn(wire, 'large')).finalText());
});

onEachWire('stream-utf8-and-comments', async (wire) => {
  ok((await stream(modelOn(wire, 'split')).finalText()).startsWith(SCRIPT));
  equal(await stream(modelOn(wire, 'comments')).finalText(), WORDS);
});

alone('abort-in-a-stream', async () => {
  for (const wire of WIRES) {
    const name = modelOn(wire, 'endless');
    let count = 0;
    let left;
    for await (const _ of await ask(name, { stream: true })) {
      if (++count < 6) continue;
      left = now();
      break;
    }
    between((await leftAfter(name)) - left, -0.001, 0.1, `seconds to the upstream on ${wire}`);
  }
});
