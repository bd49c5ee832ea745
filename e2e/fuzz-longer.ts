/** Loaded before tests by `make fuzz`: multiplies the numbers of runs of property tests, which are plain literals. */
import { registerHooks } from 'node:module';

const times = Number(process.env['FUZZ_TIMES'] ?? 1);

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (!url.endsWith('.test.ts') || loaded.source === undefined) return loaded;
    const text =
      typeof loaded.source === 'string'
        ? loaded.source
        : Buffer.from(loaded.source as ArrayBuffer).toString();
    const source = text
      .replaceAll(/numRuns: ([\d_]+)/g, `numRuns: $1 * ${times}`)
      .replaceAll(/interruptAfterTimeLimit: ([\d_]+)/g, `interruptAfterTimeLimit: $1 * ${times}`);
    return { ...loaded, source };
  },
});
