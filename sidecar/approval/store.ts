/** The state folder's part for approvals: objects and receipts that only `serve` writes, decisions that people put there. */
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  fchmodSync,
  fchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { parseApproval, type Approval } from '../../crds/approval.ts';
import { isMissing } from './decision-file.ts';
import { isApprovalName } from './name.ts';

/** Names in the state folder. */
export const APPROVALS = 'approvals';
export const DECISIONS = 'decisions';
export const RECEIPTS = 'receipts';

/** What became of a decision file: for the person who wrote it. */
export interface Receipt {
  readonly approval: string;
  readonly accepted: boolean;
  readonly message: string;
  readonly phase: string;
  /** User name that it was taken for. */
  readonly by: string;
}

class ApprovalStoreError extends Error {
  readonly code = 'approval-store';
}

/** Without a group only the user that `serve` runs as can see and decide; with one, its members too. */
export class ApprovalStore {
  readonly #state: string;
  readonly #group: number | null;

  constructor(state: string, group: number | null) {
    this.#state = state;
    this.#group = group;
    const shared = group !== null;
    mkdirSync(state, { recursive: true, mode: 0o700 });
    this.#folder(APPROVALS, shared ? 0o750 : 0o700);
    this.#folder(RECEIPTS, shared ? 0o750 : 0o700);
    // Anyone of the group may put a file there, nobody can list, replace or remove another's.
    this.#folder(DECISIONS, shared ? 0o3730 : 0o700);
  }

  get decisions(): string {
    return join(this.#state, DECISIONS);
  }

  /** Throws when it cannot be written. Synchronous, so that states follow each other in order. */
  write(approval: Approval): void {
    this.#replace(this.#path(approval.metadata.name), `${JSON.stringify(approval, null, 2)}\n`);
  }

  /** Null when there is none that can be read. */
  read(name: string): Approval | null {
    try {
      return readApproval(this.#path(name));
    } catch {
      return null;
    }
  }

  /** All that can be read, and the file names of the rest. Removes what a killed writer left. */
  readAll(): { readonly approvals: readonly Approval[]; readonly unreadable: readonly string[] } {
    const approvals: Approval[] = [];
    const unreadable: string[] = [];
    const folder = join(this.#state, APPROVALS);
    for (const file of readdirSync(folder)) {
      if (file.startsWith('.')) rmSync(join(folder, file), { force: true });
      else if (file.endsWith('.json')) {
        const found = isApprovalName(file.slice(0, -5)) ? this.read(file.slice(0, -5)) : null;
        if (found === null) unreadable.push(file);
        else approvals.push(found);
      }
    }
    return { approvals, unreadable };
  }

  /** Bytes on disk; 0 when it is not there. */
  sizeOf(name: string): number {
    return lstatSync(this.#path(name), { throwIfNoEntry: false })?.size ?? 0;
  }

  remove(name: string): void {
    rmSync(this.#path(name), { force: true });
  }

  writeReceipt(id: string, receipt: Receipt): void {
    this.#replace(join(this.#state, RECEIPTS, `${id}.json`), `${JSON.stringify(receipt)}\n`);
  }

  /** Removes receipts older than `age` milliseconds. */
  collectReceipts(age: number, now: number): void {
    const folder = join(this.#state, RECEIPTS);
    for (const file of readdirSync(folder)) {
      const path = join(folder, file);
      try {
        if (now - lstatSync(path).mtimeMs >= age) rmSync(path, { force: true });
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    }
  }

  #path(name: string): string {
    if (!isApprovalName(name))
      throw new ApprovalStoreError(`not the name of an approval: ${name.slice(0, 80)}`);
    return join(this.#state, APPROVALS, `${name}.json`);
  }

  #replace(path: string, content: string): void {
    const folder = join(path, '..');
    const temporary = join(folder, `.${randomUUID()}.tmp`);
    const file = openSync(temporary, 'wx', 0o600);
    try {
      writeFileSync(file, content);
      if (this.#group !== null) {
        fchownSync(file, -1, this.#group);
        fchmodSync(file, 0o640);
      }
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    } finally {
      closeSync(file);
    }
  }

  #folder(name: string, mode: number): void {
    const path = join(this.#state, name);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const stat = lstatSync(path);
    if (!stat.isDirectory()) throw new ApprovalStoreError(`${path} is not a folder`);
    if (process.geteuid !== undefined && stat.uid !== process.geteuid()) {
      throw new ApprovalStoreError(`${path} belongs to another user (uid ${stat.uid})`);
    }
    if (this.#group !== null) chownSync(path, -1, this.#group);
    chmodSync(path, mode);
  }
}

/** Throws when the file cannot be read or is no approval. */
export function readApproval(path: string): Approval {
  const parsed = parseApproval(JSON.parse(readFileSync(path, 'utf8')));
  if (parsed.kind === 'parsed') return parsed.value;
  const [first] = parsed.errors;
  throw new ApprovalStoreError(
    `${path}: ${first === undefined ? '' : `${first.path.join('.')} ${first.message}`}`,
  );
}
