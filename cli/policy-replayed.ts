/** What candidate policies would have decided of recorded operations. */
import type { Decision, Facts } from '../sidecar/operation.ts';
import type { PolicySet } from '../sidecar/policy/policy-set.ts';
import { describeStatement } from '../sidecar/policy/refusal.ts';
import { DirectoryStore } from '../sidecar/record/directory-store.ts';
import { readEvents } from '../sidecar/record/read.ts';
import { RecordingError } from '../sidecar/record/recording-error.ts';

export interface Change {
  readonly session: string;
  readonly operation: number;
  /** ISO 8601. */
  readonly at: string;
  readonly before: Outcome;
  readonly after: Outcome;
  /** `DELETE on public.orders`. */
  readonly what: string;
  readonly text: string;
  /** A secret was taken out of the text: rules on text or parameters may have seen something else then. */
  readonly redacted: boolean;
}

export interface Outcome {
  readonly kind: Decision['kind'];
  /** `namespace/name, rule`. */
  readonly rules: readonly string[];
}

export interface Replayed {
  readonly sessions: number;
  readonly decisions: number;
  /** Refused by no policy: unparseable, unsupported, a mask that could not apply. */
  readonly leftOut: number;
  readonly changes: readonly Change[];
}

/** Decides all that is recorded in a folder. Rejects with RecordingError for what is no recording. */
export async function replay(folder: string, policies: PolicySet): Promise<Replayed> {
  const store = new DirectoryStore(folder);
  const sessions = await store.sessions();
  if (sessions.length === 0) throw new RecordingError('format', 'there is no recording');
  const found = { sessions: sessions.length, decisions: 0, leftOut: 0, changes: new Array<Change>() };
  for (const session of sessions) await replaySession(store, session, policies, found);
  return found;
}

async function replaySession(
  store: DirectoryStore,
  session: string,
  policies: PolicySet,
  found: { decisions: number; leftOut: number; readonly changes: Change[] },
): Promise<void> {
  let decide: ((facts: Facts, now: number) => Decision) | undefined;
  for await (const { event, at } of readEvents(store, session)) {
    if (event.kind === 'session-start') {
      const policy = policies.forSession(event.identity, event.connection);
      decide = (facts, now) => policy.decide(facts, now);
    }
    if (event.kind !== 'decision') continue;
    const { decision, facts } = event;
    if (decide === undefined) throw new RecordingError('format', `${session} does not begin with its start`);
    if (decision.kind === 'refuse' || facts.kind === 'unknown') {
      found.leftOut += 1;
      continue;
    }
    found.decisions += 1;
    const after = decide(facts, at / 1000);
    if (sameOutcome(decision, after)) continue;
    found.changes.push({
      session,
      operation: event.operation,
      at: new Date(at / 1000).toISOString(),
      before: outcomeOf(decision),
      after: outcomeOf(after),
      what: describeStatement(facts.sql.statement),
      text: facts.sql.statement.text,
      redacted: event.redacted,
    });
  }
}

/** Whether a client would have seen the same: the same kind, and of holds the same people asked. */
function sameOutcome(before: Decision, after: Decision): boolean {
  if (before.kind !== after.kind) return false;
  if (before.kind !== 'hold' || after.kind !== 'hold') return true;
  return approversOf(before) === approversOf(after);
}

function approversOf(hold: Extract<Decision, { kind: 'hold' }>): string {
  const asked = hold.requirements.map(({ approvers }) =>
    JSON.stringify([approvers.users.toSorted(), approvers.groups.toSorted()]),
  );
  return asked.sort().join('\n');
}

function outcomeOf(decision: Decision): Outcome {
  return { kind: decision.kind, rules: decision.rules.map(({ policy, rule }) => `${policy}, ${rule}`) };
}
