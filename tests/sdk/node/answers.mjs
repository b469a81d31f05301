// Whole answers: chats, tools, schemas, embeddings, models, headers, base URLs, the environment.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import {
  BARE, HELLO, SOLO, WORDS, all, alone, equal, model, ok, raises, seen, test,
} from './kit.mjs';
import { OpenAI, client, sdk, textOf } from './openai_sdk.mjs';

export const WEATHER = {
  type: 'function',
  function: {
    name: 'weather',
    description: "Today's weather",
    strict: true,
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' } },
      required: ['city'],
      additionalProperties: false,
    },
  },
};
export const CLOCK = {
  type: 'function',
  function: { name: 'clock', parameters: { type: 'object', properties: { zone: { type: 'string' } } } },
};
export const ARGUMENTS = [{ city: 'Paris' }, { zone: 'Europe/Paris' }];

const sha256 = (data) => createHash('sha256').update(data).digest('hex');

test('chat', async () => {
  const name = model('plain');
  const answer = await client().chat.completions.create({ model: name, messages: HELLO });
  equal(answer.choices[0].message.content, WORDS);
  equal(answer.choices[0].finish_reason, 'stop');
  equal(answer.object, 'chat.completion');
  equal(answer.usage.total_tokens, 13);
  equal(answer.usage.prompt_tokens_details, { cached_tokens: 2 });
  equal(answer.usage.completion_tokens_details, { reasoning_tokens: 1 });
  const [request] = await seen(name);
  equal(request.path, '/v1/chat/completions');
  equal(request.body, { model: name.slice(3), messages: HELLO });
});

test('chat-by-alias', async () => {
  const answer = await client().chat.completions.create({ model: 'chat', messages: HELLO });
  equal(answer.choices[0].message.content, WORDS);
});

test('unknown-fields-pass-both-ways', async () => {
  const name = model('plain');
  const answer = await client().chat.completions.create({
    model: name,
    messages: [{ role: 'developer', content: 'Be brief.' }, ...HELLO],
    reasoning_effort: 'xhigh',
    metadata: { a: 'b' },
    seed: 7,
    of_tomorrow: { deep: [1, 2.5, null] },
  });
  equal(answer.x_unknown, { kept: [1] });
  const { body } = (await seen(name))[0];
  equal(body.of_tomorrow, { deep: [1, 2.5, null] });
  equal([body.reasoning_effort, body.metadata, body.seed], ['xhigh', { a: 'b' }, 7]);
  equal(body.messages[0].role, 'developer');
});

test('n-2', async () => {
  const answer = await client().chat.completions.create({ model: model('two'), messages: HELLO, n: 2 });
  equal(
    answer.choices.map((c) => [c.index, c.message.content]),
    [[0, 'left one'], [1, 'right two']],
  );
});

// Two calls come, both results go back, and the answer is made of them.
test('tools-parallel-and-results', async () => {
  const name = model('tools');
  const ask = { model: name, tools: [WEATHER, CLOCK], tool_choice: 'auto', parallel_tool_calls: true };
  const first = await client().chat.completions.create({ messages: HELLO, ...ask });
  const { message } = first.choices[0];
  equal(first.choices[0].finish_reason, 'tool_calls');
  equal(message.content, null);
  equal(
    message.tool_calls.map((c) => [c.id, c.type, c.function.name]),
    [['call_a', 'function', 'weather'], ['call_b', 'function', 'clock']],
  );
  equal(message.tool_calls.map((c) => JSON.parse(c.function.arguments)), ARGUMENTS);
  const results = message.tool_calls.map((c, i) => ({
    role: 'tool',
    tool_call_id: c.id,
    content: ['sunny', 'noon'][i],
  }));
  const second = await client().chat.completions.create({ messages: [...HELLO, message, ...results], ...ask });
  equal(second.choices[0].message.content, 'sunny / noon');
  const [one, two] = (await seen(name)).map((request) => request.body);
  equal(one.tools, [WEATHER, CLOCK]);
  equal([one.tool_choice, one.parallel_tool_calls], ['auto', true]);
  equal(two.messages[1].tool_calls, message.tool_calls);
  equal(two.messages.slice(2), results);
});

test('json-schema', async () => {
  const name = model('schema');
  const format = {
    type: 'json_schema',
    json_schema: {
      name: 'River',
      strict: true,
      schema: {
        type: 'object',
        properties: { river: { type: 'string' }, km: { type: 'integer' } },
        required: ['river', 'km'],
        additionalProperties: false,
      },
    },
  };
  const answer = await client().chat.completions.parse({ model: name, messages: HELLO, response_format: format });
  equal(answer.choices[0].message.parsed, { river: 'Elbe', km: 1094 });
  equal((await seen(name))[0].body.response_format, format);
});

// The SDK asks for base64 by itself; as numbers the vectors are the same.
test('embeddings', async () => {
  const name = model('embed');
  const input = ['weir', 'Wehr', '\u5830'];
  const packed = await client().embeddings.create({ model: name, input });
  const plain = await client().embeddings.create({ model: name, input, encoding_format: 'float' });
  equal((await seen(name)).map((r) => r.body.encoding_format), ['base64', 'float']);
  equal(packed.data.map((d) => [...d.embedding]), plain.data.map((d) => d.embedding));
  equal(packed.data.map((d) => d.index), [0, 1, 2]);
  equal(new Set(packed.data.map((d) => d.embedding.join())).size, 3);
  equal(packed.usage.total_tokens, 3);
  ok(packed.data[0].embedding.every((x) => typeof x === 'number'));
});

// Who asks for base64 by name gets the text, untouched.
test('embeddings-as-text', async () => {
  const ask = (encoding_format) =>
    client().embeddings.create({ model: model('embed'), input: 'weir', encoding_format });
  const packed = Buffer.from((await ask('base64')).data[0].embedding, 'base64');
  const numbers = Array.from({ length: packed.length / 4 }, (_, i) => packed.readFloatLE(i * 4));
  equal(numbers, (await ask('float')).data[0].embedding);
});

test('embeddings-of-tokens', async () => {
  const answer = await client().embeddings.create({ model: model('embed'), input: [1, 2, 3], dimensions: 4 });
  equal(answer.data[0].embedding.length, 4);
});

test('models-list-and-retrieve', async () => {
  const listed = [];
  for await (const one of client().models.list()) listed.push(one);
  ok(listed.some((m) => m.id === 'chat'), `no alias among ${listed.map((m) => m.id)}`);
  ok(listed.every((m) => m.object === 'model' && m.created > 0 && m.owned_by));
  equal((await client().models.retrieve('chat')).id, 'chat');
  equal((await client().models.retrieve('up/gpt-4o-mini')).id, 'up/gpt-4o-mini');
  const error = await raises(sdk.NotFoundError, () => client().models.retrieve('nowhere/nothing'));
  equal(error.code, 'model_not_found');
});

test('request-ids-and-headers', async () => {
  const ask = (name) => client().chat.completions.create({ model: name, messages: HELLO }).withResponse();
  const plain = await ask(model('plain'));
  const own = plain.response.headers.get('x-weir-request-id');
  ok(own);
  equal([plain.data._request_id, plain.request_id], [own, own]);
  ok(plain.response.headers.get('x-weir-target').startsWith('up/plain@'));
  equal(plain.response.headers.get('x-weir-attempts'), '1');
  const traced = await ask(model('traced'));
  const { headers } = traced.response;
  equal(traced.data._request_id, 'req_from_upstream');
  ok(!['', own, 'req_from_upstream', null].includes(headers.get('x-weir-request-id')));
  equal(headers.get('x-ratelimit-remaining-requests'), '41');
  equal(headers.get('openai-processing-ms'), '12');
  equal(headers.get('set-cookie'), null);
});

// The mock itself refuses x-stainless-*, organization and the client's key.
test('client-headers-stay-here', async () => {
  const name = model('plain');
  const own = client({
    organization: 'org-1',
    project: 'proj-1',
    defaultHeaders: { 'X-Client-Request-Id': 'mine-1', Cookie: 'c=1' },
  });
  await own.chat.completions.create({ model: name, messages: HELLO });
  const { headers } = (await seen(name))[0];
  equal(headers['x-client-request-id'], 'mine-1');
  ok(!JSON.stringify(headers).includes('wk-sdk'), "the client's key went upstream");
});

// With /v1, without, with a slash behind.
test('base-urls', async () => {
  for (const baseURL of [`${SOLO}/v1`, `${SOLO}/v1/`, SOLO, `${SOLO}/`]) {
    const own = client({ baseURL });
    const name = model('plain', '');
    const answer = await own.chat.completions.create({ model: name, messages: HELLO });
    equal(answer.choices[0].message.content, WORDS, baseURL);
    equal((await seen(name))[0].path, '/v1/chat/completions', baseURL);
    const embedded = await own.embeddings.create({ model: model('embed', ''), input: 'x' });
    equal(embedded.data[0].index, 0, baseURL);
  }
});

test('the-environment-alone', async () => {
  const answer = await new OpenAI().chat.completions.create({ model: model('plain'), messages: HELLO });
  equal(answer.choices[0].message.content, WORDS);
});

// A program as it stands in introductions, with two variables; Weir has no file, only the provider's
// key.
test('snippet-and-weir-with-nothing-but-a-key', async () => {
  const before = (await seen('gpt-4')).length;
  const program = spawn(process.execPath, [fileURLToPath(new URL('snippet.mjs', import.meta.url))], {
    env: { OPENAI_API_KEY: 'anything', OPENAI_BASE_URL: `${BARE}/v1` },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  for await (const part of program.stdout) said += part;
  equal(said, `${WORDS}\n`);
  ok((await seen('gpt-4')).length > before, 'nothing reached the mock');
});

test('weir-with-nothing-but-a-key', async () => {
  const own = client({ baseURL: `${BARE}/v1`, apiKey: 'anything' });
  const name = model('plain', '');
  equal(await textOf(await own.chat.completions.create({ model: name, messages: HELLO, stream: true })), WORDS);
  equal((await own.embeddings.create({ model: model('embed', ''), input: 'x' })).data[0].index, 0);
  equal((await seen(name))[0].headers.host, 'api.openai.com');
});

// `model="gpt-4"` as it stands in programs; any key will do where none is needed.
test('one-provider-takes-any-name', async () => {
  const own = client({ baseURL: `${SOLO}/v1`, apiKey: 'whatever' });
  const answer = await own.chat.completions.create({ model: 'gpt-4', messages: HELLO });
  equal([answer.choices[0].message.content, answer.model], [WORDS, 'gpt-4']);
});

test('one-megabyte-there', async () => {
  const content = '\u6c34 water '.repeat(110000);
  const data = Buffer.from(content);
  ok(data.length > 1 << 20);
  const answer = await client().chat.completions.create({
    model: model('digest'),
    messages: [{ role: 'user', content }],
  });
  equal(answer.choices[0].message.content, `${data.length} ${sha256(data)}`);
});

test('one-megabyte-back', async () => {
  const answer = await client().chat.completions.create({ model: model('large'), messages: HELLO });
  const text = answer.choices[0].message.content;
  ok(Buffer.byteLength(text) > 900000, `${Buffer.byteLength(text)} bytes`);
  equal(text.replaceAll(text.slice(0, text.length / 50), ''), '');
});

test('legacy-completions', async () => {
  const name = model('legacy');
  const { completions } = client();
  const answer = await completions.create({ model: name, prompt: ['a', 'b'], max_tokens: 5, echo: false });
  equal([answer.object, answer.choices[0].text], ['text_completion', WORDS]);
  equal((await seen(name))[0].body.prompt, ['a', 'b']);
  let text = '';
  for await (const chunk of await completions.create({ model: model('legacy'), prompt: 'a', stream: true })) {
    text += chunk.choices[0].text;
    ok(!('usage' in chunk), 'usage that nobody asked for');
  }
  equal(text, WORDS);
  let last;
  const asked = { model: model('legacy'), prompt: 'a', stream: true, stream_options: { include_usage: true } };
  for await (const chunk of await completions.create(asked)) last = chunk;
  equal([last.choices, last.usage.total_tokens], [[], 13]);
});

// JSON, and an upload in multipart.
test('paths-that-pass-through', async () => {
  const moderated = await client().moderations.create({ input: 'hi', model: model('moderations', '') });
  equal(moderated.id, 'modr-1');
  const content = Buffer.alloc(256000, 'node upload ');
  const file = await client().files.create({
    file: await sdk.toFile(content, 'b.jsonl'),
    purpose: 'batch',
  });
  const request = (await seen('files')).find((r) => r.sha256 === file.filename);
  ok(request, 'what came through');
  equal(file.bytes, request.size);
  ok(request.size > content.length);
  ok(request.headers['content-type'].startsWith('multipart/form-data; boundary='));
});

// Fifty requests in a row, streams among them, over kept connections.
test('one-after-the-other', async () => {
  for (let number = 0; number < 50; number++) {
    const stream = number % 3 === 0;
    const answer = await client().chat.completions.create({ model: 'chat', messages: HELLO, stream });
    let text = '';
    if (stream) for await (const c of answer) text += c.choices[0].delta.content ?? '';
    else text = answer.choices[0].message.content;
    equal(text, WORDS, `answer ${number}`);
  }
});

alone('thirty-at-once', async () => {
  const ask = async (number) => {
    const answer = await client().chat.completions.create({
      model: model('digest'),
      messages: [{ role: 'user', content: `${number}` }],
    });
    equal(answer.choices[0].message.content, `${`${number}`.length} ${sha256(`${number}`)}`);
  };
  await Promise.all(Array.from({ length: 30 }, (_, number) => ask(number)));
});
