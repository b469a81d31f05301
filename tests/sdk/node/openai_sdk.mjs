// The OpenAI SDK as its cases use it.
import './file.mjs';
import OpenAI, * as sdk from 'openai';
import { TIMEOUT_MS } from './kit.mjs';

export { OpenAI, sdk };

let shared;
/** The SDK as applications make it: everything comes from the environment. */
export function client(more) {
  if (more) return new OpenAI({ timeout: TIMEOUT_MS, ...more });
  shared ??= new OpenAI({ timeout: TIMEOUT_MS });
  return shared;
}

/** The text of the first choice of a stream, or of the chunks of one. */
export async function textOf(stream) {
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  return text;
}
