// Failures: every error has the class and the fields that programs look at, and no broken stream looks
// whole.
import { once } from 'node:events';
import { createServer } from 'node:net';
import {
  HELLO, SOLO, WORDS, alone, between, equal, model, now, ok, raises, seen, test, aliasOf,
} from './kit.mjs';
import { client, sdk, textOf } from './openai_sdk.mjs';

const ask = (own, name, more = {}, options = {}) =>
  own.chat.completions.create({ model: name, messages: HELLO, ...more }, options);

test('error-401-wrong-key', async () => {
  const own = client({ apiKey: 'wk-sdk-0123456789abcdee' });
  for (const call of [
    () => ask(own, 'chat'),
    () => ask(own, 'chat', { stream: true }),
    () => own.models.list(),
    () => own.embeddings.create({ model: 'chat', input: 'x' }),
  ]) {
    const error = await raises(sdk.AuthenticationError, call);
    equal([error.status, error.code, error.type], [401, 'invalid_api_key', 'invalid_request_error']);
    ok(!error.message.includes('abcdee'), 'the key is in the message');
    ok(error.requestID);
  }
});

test('error-401-without-a-key', async () => {
  const bare = { headers: { Authorization: null } };
  const error = await raises(sdk.AuthenticationError, () => ask(client(), 'chat', {}, bare));
  equal(error.code, 'missing_api_key');
});

test('error-404-unknown-model', async () => {
  for (const stream of [false, true]) {
    const error = await raises(sdk.NotFoundError, () => ask(client(), 'chatt', { stream }));
    equal([error.status, error.code, error.param, error.type],
      [404, 'model_not_found', 'model', 'invalid_request_error']);
    ok(error.message.includes('`chatt`') && error.message.includes('`chat`'), error.message);
  }
});

test('error-404-of-the-upstream', async () => {
  const error = await raises(sdk.NotFoundError, () => ask(client(), 'up/nothing-like-it'));
  equal(error.code, 'model_not_found');
});

test('error-404-path', async () => {
  await raises(sdk.NotFoundError, () => client().post('/nothing', { body: {} }));
});

test('error-400-ambiguous-model', async () => {
  const error = await raises(sdk.BadRequestError, () => ask(client(), 'shared'));
  equal([error.status, error.param], [400, 'model']);
  ok(error.message.includes('up/shared') && error.message.includes('other/shared'), error.message);
});

test('error-400-of-the-upstream', async () => {
  const name = model('picky');
  const error = await raises(sdk.BadRequestError, () => ask(client(), name, { temperature: 1.9 }));
  equal([error.status, error.param, error.code, error.type],
    [400, 'temperature', 'unsupported_value', 'invalid_request_error']);
  ok(error.message.includes('does not support 9'), error.message);
  equal((await seen(name)).length, 1);
  const streamed = await raises(sdk.BadRequestError, () => ask(client(), model('picky'), { stream: true }));
  equal(streamed.param, 'temperature');
});

test('error-400-of-weir', async () => {
  const error = await raises(sdk.BadRequestError, () => ask(client(), model('plain'), { messages: 'no list' }));
  equal([error.param, error.type], ['messages', 'invalid_request_error']);
});

// The SDK waits as long as the provider said, and its second try goes through.
test('error-429-then-success', async () => {
  const name = model('limited', '');
  const started = now();
  const answer = await ask(client({ baseURL: `${SOLO}/v1` }), name);
  equal(answer.choices[0].message.content, WORDS);
  const requests = await seen(name);
  equal(requests.map((r) => r.headers['x-stainless-retry-count']), ['0', '1']);
  between(requests[1].at - requests[0].at, 0.045, 0.3, 'seconds between the tries');
  between(now() - started, 0.05, 2.0, 'seconds');
});

test('error-429-then-success-in-a-stream', async () => {
  const name = model('limited');
  equal(await textOf(await ask(client(), name, { stream: true })), WORDS);
  equal((await seen(name)).length, 2);
});

test('error-429-exhausted', async () => {
  const name = model('always-limited');
  const error = await raises(sdk.RateLimitError, () => ask(client(), name));
  equal([error.status, error.code, error.type], [429, 'rate_limit_exceeded', 'requests']);
  equal(error.headers.get('retry-after-ms'), '50');
  equal(error.headers.get('x-ratelimit-limit-requests'), '60');
  equal((await seen(name)).length, 3, 'one and two retries');
});

test('error-500-twice-then-success', async () => {
  const name = model('flaky');
  equal((await ask(client(), name)).choices[0].message.content, WORDS);
  equal((await seen(name)).length, 3);
});

// Weir has three targets: two fail, the third answers, and the SDK sees nothing of it.
test('error-500-twice-within-weir', async () => {
  const { data, response } = await ask(client(), aliasOf('flaky')[0]).withResponse();
  equal(data.choices[0].message.content, WORDS);
  equal(response.headers.get('x-weir-attempts'), '3');
  equal((await seen(aliasOf('flaky')[1])).length, 3);
});

// All three targets failed: the SDK is told not to try the same again, and obeys.
test('error-500-after-weirs-own-retries', async () => {
  for (const stream of [false, true]) {
    const before = (await seen(aliasOf('broken')[1])).length;
    const error = await raises(sdk.InternalServerError, () =>
      ask(client({ maxRetries: 5 }), aliasOf('broken')[0], { stream }));
    equal(error.headers.get('x-should-retry'), 'false');
    equal(error.headers.get('x-weir-attempts'), '3');
    equal((await seen(aliasOf('broken')[1])).length - before, 3);
  }
});

test('error-500-without-retries', async () => {
  const name = model('flaky');
  const error = await raises(sdk.InternalServerError, () => ask(client({ maxRetries: 0 }), name));
  ok(error.status >= 500 && error.status < 600 && error.message);
  equal((await seen(name)).length, 1);
});

// Weir's own key was refused: that is not the client's mistake.
test('error-401-of-the-upstream', async () => {
  const error = await raises(sdk.InternalServerError, () => ask(client({ maxRetries: 0 }), model('locked')));
  equal([error.status, error.code], [502, 'upstream_auth']);
});

// Weir's limit, not the client's: a status, so that the SDK may try again.
test('error-504-slow-upstream', async () => {
  const error = await raises(sdk.InternalServerError, () =>
    ask(client({ maxRetries: 0 }), model('silent', 'brief')));
  equal(error.status, 504);
  ok(error.code && error.message);
});

test('error-nobody-there', async () => {
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address();
  closed.close();
  await once(closed, 'close');
  const own = client({ baseURL: `http://127.0.0.1:${port}/v1`, maxRetries: 0 });
  await raises(sdk.APIConnectionError, () => ask(own, 'chat'));
});

// A broken stream ends its connection. Where a pool hands that out once more before it has seen the
// end, a request is lost and sent again, so nothing that counts requests may run beside these.

/** {text so far, the error} of a stream that must not end well. */
async function brokenStream(name) {
  let text = '';
  const error = await raises(sdk.APIError, async () => {
    for await (const chunk of await ask(client(), name, { stream: true })) {
      text += chunk.choices[0].delta.content ?? '';
    }
    return `ended as if it were complete: ${text}`;
  });
  return { text, error };
}

async function rawStream(name) {
  const answer = await ask(client(), name, { stream: true }).asResponse();
  let text = '';
  try {
    for await (const part of answer.body) text += Buffer.from(part).toString();
  } catch (error) {
    text += `\n(${error.message})`;
  }
  return text;
}

test('error-frame-in-a-stream', async () => {
  const { text, error } = await brokenStream(model('frame'));
  equal(text, 'The weir ');
  ok(error.message.includes('out of memory'), error.message);
  equal([error.code, error.type, error.status], ['engine_failed', 'server_error', undefined]);
  ok(!(await rawStream(model('frame'))).includes('[DONE]'), '[DONE] after an error');
});

// However the upstream ends without its [DONE], the client gets an error and all text so far.
test('stream-cut-by-the-upstream', async () => {
  for (const how of ['cut', 'cut-reset', 'cut-inside', 'cut-clean']) {
    const { text, error } = await brokenStream(model(how));
    equal(text, 'The weir ', how);
    ok(error.message && error.code, `${how}: ${error}`);
    const raw = await rawStream(model(how));
    ok(!raw.includes('[DONE]') && raw.includes('"error"'), `${how}: ${raw.slice(-300)}`);
  }
});

alone('stream-stalled-by-the-upstream', async () => {
  const started = now();
  const { text, error } = await brokenStream(model('stall', 'brief'));
  equal(text, 'The weir ');
  between(now() - started, 0.25, 1.0, 'seconds until the error');
  ok(error.message && error.code);
});
