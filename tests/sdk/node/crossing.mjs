// The OpenAI SDK's chat where Weir speaks another wire behind: the application notices nothing.
import {
  WIRES, WORDS, all, alone, between, equal, leftAfter, modelOn, now, ok, onEachWire, raises, seen, throughWeir,
} from './kit.mjs';
import { client, sdk, textOf } from './openai_sdk.mjs';
import { CALLS, CITY, LONG, LONG_DIGEST, RIVER, RIVER_SCHEMA, SCRIPT, THOUGHTS, ZONE, isLarge } from './said.mjs';

const HELLO = [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'Hello' }];
const TOOLS = [
  { type: 'function', function: { name: 'weather', parameters: CITY } },
  { type: 'function', function: { name: 'clock', parameters: ZONE } },
];
const ask = (model, more = {}, own = client()) =>
  own.chat.completions.create({ model, messages: HELLO, ...more });
const words = async (name) => textOf(await ask(name, { stream: true }));
const callsOf = (message) =>
  (message.tool_calls ?? []).map((c) => [c.id, c.function.name, JSON.parse(c.function.arguments)]);
const counted = (usage) => [
  usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens, usage.completion_tokens,
  usage.completion_tokens_details.reasoning_tokens, usage.total_tokens,
];

onEachWire('cross-chat', async (wire) => {
  const name = modelOn(wire, 'plain');
  const answer = await ask(name, { max_tokens: 50, temperature: 0.5 });
  equal([answer.choices[0].message.content, answer.choices[0].finish_reason], [WORDS, 'stop']);
  equal(counted(answer.usage), [9, 2, 4, 1, 13]);
  equal((await seen(name)).length, 1);
});

onEachWire('cross-cut-at-max-tokens', async (wire) =>
  equal((await ask(modelOn(wire, 'length'))).choices[0].finish_reason, 'length'));

// With usage asked for, and without.
onEachWire('cross-stream', async (wire) => {
  const more = { stream: true, stream_options: { include_usage: true } };
  const chunks = await all(await ask(modelOn(wire, 'plain'), more));
  equal(await textOf(chunks), WORDS);
  equal([chunks.at(-1).choices, counted(chunks.at(-1).usage)], [[], [9, 2, 4, 1, 13]]);
  equal(chunks.at(-2).choices[0].finish_reason, 'stop');
  const plain = await all(await ask(modelOn(wire, 'plain'), { stream: true }));
  equal(await textOf(plain), WORDS);
  ok(plain.every((c) => !c.usage && c.choices.length === 1), 'usage that nobody asked for');
});

onEachWire('cross-tools-and-results', async (wire) => {
  const name = modelOn(wire, 'tools');
  const { message, finish_reason: finish } = (await ask(name, { tools: TOOLS, tool_choice: 'auto' })).choices[0];
  equal([finish, callsOf(message)], ['tool_calls', CALLS]);
  const results = CALLS.map(([id], i) => ({ role: 'tool', tool_call_id: id, content: ['sunny', 'noon'][i] }));
  const second = await ask(name, { tools: TOOLS, messages: [...HELLO, message, ...results] });
  equal(second.choices[0].message.content, 'sunny / noon');
});

// Thoughts as servers of open models say them: reasoning_content.
onEachWire('cross-thoughts-and-a-tool', async (wire) => {
  const name = modelOn(wire, 'reason');
  const { message } = (await ask(name, { tools: TOOLS })).choices[0];
  equal([message.content, message.reasoning_content, callsOf(message)], ['I look.', THOUGHTS, CALLS.slice(0, 1)]);
  const messages = [...HELLO, message, { role: 'tool', tool_call_id: 'call_a', content: 'sunny' }];
  equal((await ask(name, { tools: TOOLS, messages })).choices[0].message.content, 'sunny');
  let told = '';
  for await (const chunk of await ask(modelOn(wire, 'reason'), { tools: TOOLS, stream: true })) {
    told += chunk.choices[0]?.delta.reasoning_content ?? '';
  }
  equal(told, THOUGHTS);
});

onEachWire('cross-stream-tools', async (wire) => {
  const calls = [];
  for await (const chunk of await ask(modelOn(wire, 'tools'), { tools: TOOLS, stream: true })) {
    for (const part of chunk.choices[0].delta.tool_calls ?? []) {
      calls[part.index] ??= ['', '', ''];
      [part.id, part.function.name, part.function.arguments].forEach((text, at) => {
        calls[part.index][at] += text ?? '';
      });
    }
  }
  equal(calls.map(([id, name, text]) => [id, name, JSON.parse(text)]), CALLS);
});

onEachWire('cross-json-schema', async (wire) => {
  const format = { type: 'json_schema', json_schema: { name: 'River', strict: true, schema: RIVER_SCHEMA } };
  const answer = await client().chat.completions.parse(
    { model: modelOn(wire, 'schema'), messages: HELLO, response_format: format });
  equal(answer.choices[0].message.parsed, RIVER);
});

onEachWire('cross-error-400-of-the-upstream', async (wire) => {
  for (const stream of [false, true]) {
    const error = await raises(sdk.BadRequestError, () => ask(modelOn(wire, 'picky'), { stream }));
    equal(error.type, 'invalid_request_error');
    ok(error.message.includes('does not support 9'), error.message);
  }
});

onEachWire('cross-error-429-then-success', async (wire) => {
  const name = modelOn(wire, 'limited');
  equal((await ask(name)).choices[0].message.content, WORDS);
  equal((await seen(name)).length, 2);
});

// What changes the answer's meaning is refused; a hint is left out, and the answer says so.
throughWeir('cross-what-others-lack', async () => {
  for (const wire of WIRES.filter((one) => ['anthropic', 'responses'].includes(one))) {
    const error = await raises(sdk.BadRequestError, () => ask(modelOn(wire, 'plain'), { n: 2 }));
    equal([error.param, error.code], ['n', 'unsupported_parameter'], wire);
  }
  const { data, response } = await ask(modelOn('anthropic', 'plain'), { seed: 7 }).withResponse();
  equal([response.headers.get('x-weir-dropped'), data.choices[0].message.content], ['seed', WORDS]);
});

/** [text so far, the error] of a stream that must not end well. */
async function brokenStream(name) {
  let text = '';
  const error = await raises(sdk.APIError, async () => {
    for await (const chunk of await ask(name, { stream: true })) text += chunk.choices[0].delta.content ?? '';
    return `ended as if it were complete: ${text}`;
  });
  return [text, error];
}

onEachWire('cross-error-frame-in-a-stream', async (wire) => {
  const [text, error] = await brokenStream(modelOn(wire, 'frame'));
  equal(text, 'The weir ');
  ok(error.message.includes('out of memory'), error.message);
});

throughWeir('cross-stream-cut-by-the-upstream', async () => {
  for (const wire of WIRES) {
    for (const how of ['cut', 'cut-clean']) {
      const [text, error] = await brokenStream(modelOn(wire, how));
      equal([text, Boolean(error.code && error.message)], ['The weir ', true], `${how} on ${wire}`);
    }
  }
});

onEachWire('cross-one-megabyte', async (wire) => {
  const messages = [{ role: 'user', content: LONG }];
  equal((await ask(modelOn(wire, 'digest'), { messages })).choices[0].message.content, LONG_DIGEST);
  isLarge(await words(modelOn(wire, 'large')));
});

onEachWire('cross-stream-utf8-and-comments', async (wire) => {
  ok((await words(modelOn(wire, 'split'))).startsWith(SCRIPT));
  equal(await words(modelOn(wire, 'comments')), WORDS);
});

alone('cross-abort', async () => {
  for (const wire of WIRES) {
    const name = modelOn(wire, 'endless');
    let count = 0;
    let left;
    for await (const _ of await ask(name, { stream: true })) {
      if (++count < 5) continue;
      left = now();
      break;
    }
    between((await leftAfter(name)) - left, -0.001, 0.1, `seconds to the upstream on ${wire}`);
  }
});
