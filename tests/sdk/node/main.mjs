// The cases of one Node client; started by ../run.py, which says where Weir and the mock are.
import { run } from './kit.mjs';

// Program: [the package whose version counts, the modules that hold the cases]
const PROGRAMS = {
  openai: ['openai', 'answers', 'failures', 'streams'],
  'openai-wires': ['openai', 'crossing'],
  responses: ['openai', 'responses'],
  anthropic: ['@anthropic-ai/sdk', 'messages'],
  'anthropic-0': ['anthropic-0', 'messages'],
  google: ['@google/genai', 'gemini'],
  vercel: ['ai', 'vercel'],
  langchain: ['@langchain/openai', 'langchain'],
};

const [name, ...modules] = PROGRAMS[process.argv[2]];
process.env.SDK_PACKAGE = name;
for (const module of modules) await import(`./${module}.mjs`);
await run(name);
