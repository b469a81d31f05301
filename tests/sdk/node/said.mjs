// What the mock says on every wire, and the tools that it calls.
import { createHash } from 'node:crypto';
import { equal, ok } from './kit.mjs';

export const CALLS = [
  ['call_a', 'weather', { city: 'Paris' }],
  ['call_b', 'clock', { zone: 'Europe/Paris' }],
];
const schema = (properties) => ({
  type: 'object', properties, required: Object.keys(properties), additionalProperties: false,
});
export const CITY = schema({ city: { type: 'string' } });
export const ZONE = schema({ zone: { type: 'string' } });
export const RIVER_SCHEMA = schema({ river: { type: 'string' }, km: { type: 'integer' } });
export const RIVER = { river: 'Elbe', km: 1094 };
export const SCRIPT = 'a\u00e9\u4e2d\u{1f30a} \u{1f1e9}\u{1f1ea} e\u0301 \u{1f469}\u200d\u{1f467} \u05e9';
export const THOUGHTS = 'Rivers rise.';
export const LONG = '\u6c34 water '.repeat(110000);
export const LONG_DIGEST = `${Buffer.byteLength(LONG)} ${createHash('sha256').update(LONG).digest('hex')}`;

/** Fifty times the same, as the model `large` says it. */
export function isLarge(text) {
  ok(Buffer.byteLength(text) > 900000, `${Buffer.byteLength(text)} bytes`);
  equal(text.replaceAll(text.slice(0, text.length / 50), ''), '');
}
