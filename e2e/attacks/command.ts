/** The real command line, as a person at a terminal runs it. */
import { execFile } from 'node:child_process';
import { bundlePath } from '../bundle.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs `sidewarden …` to its end. With `uid`, as another user of this system: then it needs a place that this one can read. */
export function sidewarden(
  args: readonly string[],
  as: { readonly uid?: number; readonly gid?: number; readonly bundle?: string; readonly node?: string } = {},
): Promise<Ran> {
  const { uid, gid, bundle = bundlePath, node = process.execPath } = as;
  const options = {
    maxBuffer: 64 * 1024 * 1024,
    timeout: 120_000,
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  };
  return new Promise((done) => {
    execFile(node, [bundle, ...args], options, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      done({ code, out, err });
    });
  });
}

/** `approvals VERB NAME`; throws when it was refused. */
export async function decide(
  state: string,
  verb: 'approve' | 'deny' | 'modify',
  name: string,
  ...more: readonly string[]
): Promise<void> {
  const said = await sidewarden(['approvals', verb, name, '--state', state, '--json', ...more]);
  if (said.code !== 0) throw new Error(`${verb} ${name}: exit code ${said.code}\n${said.out}${said.err}`);
}
