/**
 * How V8 uses the operator's memory; must run before anything else is loaded. Most of its time it waits: the optimising compiler costs
 * it 20 MB and saves nothing that can be measured (2.0 and 2.1 ms of processor time for a pod's two webhooks), and a heap that grows in
 * small steps costs some more collections. Figures: docs/decisions/memory.md.
 */
import '../sidecar/engine.ts';
import { setFlagsFromString } from 'node:v8';

for (const flag of ['--max-optimized-bytecode-size=0', '--heap-growing-percent=20']) setFlagsFromString(flag);
