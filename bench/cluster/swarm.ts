/** Many sidecars in one process of their own (`sidecars.ts`), and the runs that they are of. */
import { fork } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Closing } from '../closing.ts';
import { endRun, removeRun, type Run, startRun } from './run.ts';
import type { Order, Told } from './sidecars.ts';
import type { Replica } from './replica.ts';
import type { Stage } from './stage.ts';
import { LEDGER, TEAMS } from './manifests.ts';

export interface Swarm {
  /** Pod, token, configuration stream, session. */
  begin(name: string): Promise<void>;
  /** Asks for an approval. */
  ask(name: string): Promise<void>;
  report(name: string, operations: number): Promise<void>;
  /** Ends the run; resolves when its sidecar was told. */
  end(name: string): Promise<void>;
  /** Ends all sidecars; the runs stay. */
  stop(): Promise<void>;
}

type Awaited = { readonly resolve: () => void; readonly reject: (error: Error) => void };

/** Each listens to the next of the replicas. */
export async function startSwarm(
  stage: Stage,
  closing: Closing,
  replicas: readonly Replica[],
): Promise<Swarm> {
  const child = fork(join(import.meta.dirname, 'sidecars.ts'), {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const gone = closing.add(async () => child.disconnect());
  let begun = 0;
  const runs = new Map<string, Run>();
  const orders = new Map<string, Awaited>();
  const ends = new Map<string, () => void>();
  child.on('message', (message) => {
    // The program is ours.
    const told = message as Told;
    if (told.kind === 'revoked') {
      ends.get(told.run)?.();
      return;
    }
    const order = orders.get(told.run);
    orders.delete(told.run);
    if (told.kind === 'failed') order?.reject(new Error(`${told.run}: ${told.why}`));
    else order?.resolve();
  });
  const send = (order: Order) => void child.send(order);
  const tell = (order: Exclude<Order, { kind: 'broker' }>) =>
    new Promise<void>((resolve, reject) => {
      orders.set(order.run, { resolve, reject });
      send(order);
    });
  send({ kind: 'broker', ca: stage.ca });
  return {
    begin: async (name) => {
      const team = TEAMS[begun % TEAMS.length];
      begun += 1;
      const run = await startRun(stage, name, LEDGER, team);
      const tokenFile = join(stage.plane.folder, `${name}.token`);
      await writeFile(tokenFile, run.token, { mode: 0o600 });
      const port = replicas[begun % replicas.length]?.broker ?? 0;
      await tell({ kind: 'begin', run: name, port, tokenFile });
      runs.set(name, run);
    },
    ask: (name) => tell({ kind: 'ask', run: name }),
    report: (name, operations) => tell({ kind: 'report', run: name, operations }),
    end: async (name) => {
      const run = runs.get(name);
      if (!run) throw new Error(`there is no run ${name}`);
      runs.delete(name);
      const told = new Promise<void>((done) => ends.set(name, done));
      await endRun(stage, run);
      await told;
      ends.delete(name);
      await removeRun(stage, run);
    },
    stop: gone,
  };
}
