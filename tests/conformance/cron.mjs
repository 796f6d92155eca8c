// Answers when patterns fire next, as BullMQ computes it: stdin a JSON list of [millis, {pattern, tz, ...}],
// stdout a JSON list of epoch ms, null where nothing is to come, or {error}.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { defaultRepeatStrategy } = createRequire(new URL('../interop/package.json', import.meta.url))('bullmq');

const answers = JSON.parse(readFileSync(0, 'utf8')).map(([millis, options]) => {
  try {
    return defaultRepeatStrategy(millis, options) ?? null;
  } catch (error) {
    return { error: error.message };
  }
});
process.stdout.write(JSON.stringify(answers));
