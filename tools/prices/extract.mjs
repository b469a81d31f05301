// Prints the providers of an installed @pydantic/genai-prices as JSON, in the form its project
// publishes them as data.json: extract.mjs FOLDER, where the package was installed.
import path from "node:path";
import { pathToFileURL } from "node:url";

// Those that src/policy/price_feed.c takes over.
const routed = ["cerebras", "fireworks-ai", "groq", "hyperbolic", "nebius", "novita", "nscale",
  "ovhcloud", "publicai", "sambanova", "together"];
const wanted = ["openai", "anthropic", "google", "azure", "aws", "cohere", "groq", "together",
  "mistral", "deepseek", "x-ai", "fireworks", "baseten", "openrouter", "moonshotai",
  ...routed.map((name) => `huggingface_${name}`)];

const entry = path.join(process.argv[2], "node_modules/@pydantic/genai-prices/dist/index.js");
const { findProvider } = await import(pathToFileURL(path.resolve(entry)));
const providers = [];
for (const providerId of wanted) {
  const found = findProvider({ providerId });
  if (found?.id === providerId)
    providers.push({ id: found.id, models: found.models });
  else
    console.error(`extract.mjs: there is no provider ${providerId} any more`);
}
process.stdout.write(JSON.stringify(providers, null, 1) + "\n");
