// The OpenAI SDK's Responses API, whole and as streams, on every wire behind.
import {
  WIRES, WORDS, all, alone, between, equal, leftAfter, model, modelOn, now, ok, onEachWire, raises, seen,
  throughWeir,
} from './kit.mjs';
import { client, sdk } from './openai_sdk.mjs';
import { CALLS, CITY, LONG, LONG_DIGEST, RIVER, RIVER_SCHEMA, SCRIPT, THOUGHTS, ZONE, isLarge } from './said.mjs';

const TOOLS = [
  { type: 'function', name: 'weather', description: "Today's weather", strict: true, parameters: CITY },
  { type: 'function', name: 'clock', strict: true, parameters: ZONE },
];
const ask = (model, more = {}, own = client()) =>
  own.responses.create({ model, input: 'Hello', store: false, ...more });
const callsOf = (answer) =>
  answer.output.filter((i) => i.type === 'function_call').map((i) => [i.call_id, i.name, JSON.parse(i.arguments)]);
const counted = (usage) => [
  usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens,
  usage.output_tokens_details.reasoning_tokens, usage.total_tokens,
];

/** The answer in the last event of a stream. */
function finalOf(events) {
  equal(events.map((e) => e.sequence_number), events.map((_, i) => i));
  const { response } = events.at(-1);
  const texts = response.output.flatMap((i) => (i.type === 'message' ? i.content : []));
  return { ...response, output_text: texts.map((part) => part.text).join('') };
}

onEachWire('respond', async (wire) => {
  const name = modelOn(wire, 'plain');
  const answer = await ask(name, { instructions: 'Be brief.' });
  equal([answer.object, answer.status, answer.output_text], ['response', 'completed', WORDS]);
  equal(answer.output.map((i) => [i.type, i.role]), [['message', 'assistant']]);
  equal(counted(answer.usage), [9, 2, 4, 1, 13]);
  equal((await seen(name)).length, 1);
});

// OpenAI itself has this API too: what Weir does not know passes both ways.
throughWeir('respond-untouched', async () => {
  const name = model('plain');
  const more = { truncation: 'auto', of_tomorrow: { deep: [1, 2.5, null] } };
  equal((await ask(name, more)).x_unknown, { kept: [1] });
  const [request] = await seen(name);
  equal(request.path, '/v1/responses');
  equal(request.body, { model: name.slice(3), input: 'Hello', store: false, ...more });
});

onEachWire('respond-cut-at-max-tokens', async (wire) => {
  const answer = await ask(modelOn(wire, 'length'), { max_output_tokens: 16 });
  equal([answer.status, answer.incomplete_details.reason], ['incomplete', 'max_output_tokens']);
});

onEachWire('respond-stream', async (wire) => {
  const events = await all(await ask(modelOn(wire, 'plain'), { stream: true }));
  const kinds = events.map((e) => e.type).filter((kind, i, every) => kind !== every[i - 1]);
  equal(kinds, ['created', 'in_progress', 'output_item.added', 'content_part.added', 'output_text.delta',
    'output_text.done', 'content_part.done', 'output_item.done', 'completed'].map((kind) => `response.${kind}`));
  const final = finalOf(events);
  equal([final.output_text, counted(final.usage)], [WORDS, [9, 2, 4, 1, 13]]);
});

onEachWire('respond-stream-helper', async (wire) => {
  const stream = client().responses.stream({ model: modelOn(wire, 'plain'), input: 'Hello' });
  equal((await stream.finalResponse()).output_text, WORDS);
});

const outputs = (texts) =>
  texts.map((output, i) => ({ type: 'function_call_output', call_id: CALLS[i][0], output }));

onEachWire('respond-tools-and-results', async (wire) => {
  const name = modelOn(wire, 'tools');
  const first = await ask(name, { tools: TOOLS });
  equal(callsOf(first), CALLS);
  const input = [{ role: 'user', content: 'Hello' }, ...first.output, ...outputs(['sunny', 'noon'])];
  equal((await ask(name, { tools: TOOLS, input })).output_text, 'sunny / noon');
});

onEachWire('respond-stream-tools', async (wire) => {
  const events = await all(await ask(modelOn(wire, 'tools'), { tools: TOOLS, stream: true }));
  const done = events.filter((e) => e.type === 'response.function_call_arguments.done');
  equal(done.map((e) => JSON.parse(e.arguments)), CALLS.map((call) => call[2]));
  equal(callsOf(finalOf(events)), CALLS);
});

onEachWire('respond-with-thoughts-and-a-tool', async (wire) => {
  for (const streamed of [false, true]) {
    const name = modelOn(wire, 'reason');
    const more = {
      tools: TOOLS, include: ['reasoning.encrypted_content'], reasoning: { effort: 'low', summary: 'auto' },
    };
    const first = streamed ? finalOf(await all(await ask(name, { ...more, stream: true }))) : await ask(name, more);
    const told = first.output.filter((i) => i.type === 'reasoning').flatMap((i) => [...i.summary, ...i.content ?? []]);
    equal(told.map((part) => part.text).join(''), THOUGHTS);
    equal([first.output_text, callsOf(first)], ['I look.', CALLS.slice(0, 1)]);
    const input = [{ role: 'user', content: 'Hello' }, ...first.output, ...outputs(['sunny'])];
    equal((await ask(name, { ...more, input })).output_text, 'sunny');
  }
});

onEachWire('respond-json-schema', async (wire) => {
  const format = { type: 'json_schema', name: 'River', strict: true, schema: RIVER_SCHEMA };
  const answer = await client().responses.parse({ model: modelOn(wire, 'schema'), input: 'Hello', text: { format } });
  equal(answer.output_parsed, RIVER);
});

throughWeir('respond-error-401-wrong-key', async () => {
  const error = await raises(sdk.AuthenticationError, () =>
    ask('chat', {}, client({ apiKey: 'wk-sdk-0123456789abcdee' })));
  equal(error.code, 'invalid_api_key');
});

onEachWire('respond-error-400-of-the-upstream', async (wire) => {
  for (const stream of [false, true]) {
    const error = await raises(sdk.BadRequestError, () => ask(modelOn(wire, 'picky'), { stream }));
    ok(error.message.includes('does not support 9'), error.message);
  }
});

onEachWire('respond-error-429-then-success', async (wire) => {
  const name = modelOn(wire, 'limited');
  equal((await ask(name)).output_text, WORDS);
  equal((await seen(name)).length, 2);
});

/** [text so far, why it failed]. The SDK hands on `response.failed`, and throws on `error`. */
async function brokenStream(name) {
  let text = '';
  try {
    for await (const event of await ask(name, { stream: true })) {
      if (event.type === 'response.output_text.delta') text += event.delta;
      if (event.type === 'response.failed') return [text, event.response.error.message];
      if (event.type === 'error') return [text, event.message];
    }
  } catch (error) {
    ok(error instanceof sdk.APIError, `${error}`);
    return [text, error.message];
  }
  throw new Error(`ended as if it were complete: ${text}`);
}

onEachWire('respond-error-in-a-stream', async (wire) => {
  const [text, why] = await brokenStream(modelOn(wire, 'frame'));
  equal(text, 'The weir ');
  ok(why.includes('out of memory'), why);
});

throughWeir('respond-stream-cut-by-the-upstream', async () => {
  for (const wire of WIRES) {
    for (const how of ['cut', 'cut-clean']) {
      const [text, why] = await brokenStream(modelOn(wire, how));
      equal([text, Boolean(why)], ['The weir ', true], `${how} on ${wire}`);
    }
  }
});

onEachWire('respond-one-megabyte', async (wire) => {
  equal((await ask(modelOn(wire, 'digest'), { input: LONG })).output_text, LONG_DIGEST);
  isLarge(finalOf(await all(await ask(modelOn(wire, 'large'), { stream: true }))).output_text);
});

onEachWire('respond-stream-utf8-and-comments', async (wire) => {
  const text = async (name) => finalOf(await all(await ask(name, { stream: true }))).output_text;
  ok((await text(modelOn(wire, 'split'))).startsWith(SCRIPT));
  equal(await text(modelOn(wire, 'comments')), WORDS);
});

alone('respond-abort', async () => {
  for (const wire of WIRES) {
    const name = modelOn(wire, 'endless');
    let count = 0;
    let left;
    for await (const _ of await ask(name, { stream: true })) {
      if (++count < 7) continue;
      left = now();
      break;
    }
    between((await leftAfter(name)) - left, -0.001, 0.1, `seconds to the upstream on ${wire}`);
  }
});
