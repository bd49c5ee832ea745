/**
 * How V8 uses memory; must run before anything else is loaded. The parser's WebAssembly stays with its first compilation:
 * optimising it in the background takes hundreds of megabytes for some microseconds a statement. New objects get little
 * room, since what a session makes for one statement is garbage by the next. Figures: docs/decisions/memory.md.
 */
import { setFlagsFromString } from 'node:v8';

for (const flag of ['--no-wasm-tier-up', '--no-wasm-dynamic-tiering', '--semi-space-growth-factor=1']) {
  setFlagsFromString(flag);
}
