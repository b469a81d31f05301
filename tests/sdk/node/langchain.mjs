// LangChain's model for OpenAI, chat and Responses, on every wire behind.
import './file.mjs';
import { HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages';
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import {
  DIRECT, TIMEOUT_MS, WIRES, WORDS, all, alone, between, equal, leftAfter, model, modelOn, now, ok, seen, test,
  throughWeir,
} from './kit.mjs';
import { CALLS, CITY, LONG, LONG_DIGEST, RIVER, RIVER_SCHEMA, SCRIPT, THOUGHTS, ZONE, isLarge } from './said.mjs';

const HELLO = [new SystemMessage('Be brief.'), new HumanMessage('Hello')];
const TOOLS = [
  { type: 'function', function: { name: 'weather', description: "Today's weather", parameters: CITY } },
  { type: 'function', function: { name: 'clock', description: 'The time', parameters: ZONE } },
];
const configuration = { baseURL: process.env.OPENAI_BASE_URL };
const KINDS = {
  chat: (name, more) => new ChatOpenAI({ model: name, configuration, timeout: TIMEOUT_MS, ...more }),
  responses: (name, more) => KINDS.chat(name, { useResponsesApi: true, ...more }),
};

/** A case for each kind and each wire behind: run(make, kind, wire), with make(behaviour). */
function onEach(name, run) {
  for (const [kind, build] of Object.entries(KINDS)) {
    for (const wire of DIRECT ? [kind] : WIRES) {
      test(`${name}-${kind}-on-${wire}`, () => run((behaviour, more) => build(modelOn(wire, behaviour), more), kind, wire));
    }
  }
}

const counted = ({ usage_metadata: usage }) =>
  [usage.input_tokens, usage.output_tokens, usage.input_token_details.cache_read];
const gathered = (chunks) => chunks.reduce((a, b) => a.concat(b));
const streamed = async (of, messages = HELLO) => gathered(await all(await of.stream(messages)));
const callsOf = (message) => message.tool_calls.map((c) => [c.id, c.name, c.args]);

onEach('invoke', async (make) => {
  const answer = await make('plain').invoke(HELLO);
  equal([answer.text, counted(answer)], [WORDS, [9, 4, 2]]);
});

onEach('stream', async (make) => {
  const whole = await streamed(make('plain'));
  equal([whole.text, counted(whole)], [WORDS, [9, 4, 2]]);
});

onEach('tools-and-results', async (make) => {
  const bound = make('tools').bindTools(TOOLS);
  const first = await bound.invoke(HELLO);
  equal(callsOf(first), CALLS);
  const results = CALLS.map(([id], i) => new ToolMessage({ content: ['sunny', 'noon'][i], tool_call_id: id }));
  equal((await bound.invoke([...HELLO, first, ...results])).text, 'sunny / noon');
});

onEach('stream-tools', async (make) =>
  equal(callsOf(await streamed(make('tools-in-turn').bindTools(TOOLS))), CALLS));

// What came, thoughts and all, goes back with the result.
onEach('thoughts-and-a-tool', async (make, kind, wire) => {
  for (const asStream of [false, true]) {
    const more = kind === 'responses' ? { reasoning: { effort: 'low', summary: 'auto' }, zdrEnabled: true } : {};
    const bound = make('reason', more).bindTools(TOOLS);
    const first = asStream ? await streamed(bound) : await bound.invoke(HELLO);
    equal([first.text, callsOf(first)], ['I look.', CALLS.slice(0, 1)]);
    // It shows only the last item of reasoning, and Gemini signs the call, in one that says nothing.
    if (kind === 'responses' && wire !== 'gemini') {
      equal(first.additional_kwargs.reasoning.summary.map((part) => part.text).join(''), THOUGHTS);
    }
    const result = new ToolMessage({ content: 'sunny', tool_call_id: 'call_a' });
    equal((await bound.invoke([...HELLO, first, result])).text, 'sunny');
  }
});

onEach('structured-output', async (make) => {
  const schema = { title: 'River', ...RIVER_SCHEMA };
  equal(await make('schema').withStructuredOutput(schema, { method: 'jsonSchema' }).invoke(HELLO), RIVER);
});

/** The error that a call ends with. */
async function failure(call) {
  let value;
  try {
    value = await call();
  } catch (error) {
    return error;
  }
  throw new Error(`no error came, but ${JSON.stringify(value)}`);
}

onEach('error-400', async (make) => {
  for (const call of [() => make('picky').invoke(HELLO), () => streamed(make('picky'))]) {
    const error = await failure(call);
    equal(error.status, 400);
    ok(error.message.includes('does not support 9'), error.message);
  }
});

throughWeir('error-401-wrong-key', async () => {
  for (const build of Object.values(KINDS)) {
    const error = await failure(() => build('chat', { apiKey: 'wk-sdk-0123456789abcdee' }).invoke(HELLO));
    equal([error.status, error.code], [401, 'invalid_api_key']);
  }
});

onEach('error-429', async (make) => {
  const error = await failure(() => make('always-limited', { maxRetries: 0 }).invoke(HELLO));
  equal(error.status, 429);
});

onEach('error-frame-in-a-stream', async (make, kind) => {
  let text = '';
  try {
    for await (const chunk of await make('frame').stream(HELLO)) text += chunk.text;
  } catch (error) {
    // The class for Responses takes no notice of `response.failed`, but of a body without an end.
    ok(error.message.includes(kind === 'responses' ? 'terminated' : 'out of memory'), error.message);
    equal(text, 'The weir ');
    return;
  }
  equal([kind, text, DIRECT], ['responses', 'The weir ', true]);
});

onEach('one-megabyte', async (make) => {
  equal((await make('digest').invoke([new HumanMessage(LONG)])).text, LONG_DIGEST);
  isLarge((await streamed(make('large'))).text);
});

onEach('stream-utf8-and-comments', async (make) => {
  ok((await streamed(make('split'))).text.startsWith(SCRIPT));
  equal((await streamed(make('comments'))).text, WORDS);
});

test('embeddings', async () => {
  const name = model('embed');
  const vectors = await new OpenAIEmbeddings({ model: name, configuration }).embedDocuments(['weir', 'Wehr']);
  equal(vectors.map((vector) => vector.length), [8, 8]);
  equal((await seen(name))[0].body.encoding_format, 'base64');
});

alone('abort-in-a-stream', async () => {
  for (const [kind, build] of Object.entries(KINDS)) {
    for (const wire of DIRECT ? [kind] : WIRES) {
      const name = modelOn(wire, 'endless');
      const leaving = new AbortController();
      let left;
      let count = 0;
      try {
        for await (const _ of await build(name).stream(HELLO, { signal: leaving.signal })) {
          if (++count !== 8) continue;
          left = now();
          leaving.abort();
        }
      } catch (error) {
        ok(leaving.signal.aborted, `${error.stack}`);
      }
      between((await leftAfter(name)) - left, -0.001, 0.15, `${kind} on ${wire}: seconds to the upstream`);
    }
  }
});
