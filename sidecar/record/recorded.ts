/** Lines of a recording, read back. Strict: a line that is not exactly an event is refused with the reason. */
import {
  EFFECTS,
  type ConnectionFacts,
  type Decision,
  type Facts,
  type Identity,
  type SqlStatementFacts,
} from '../operation.ts';
import type { Access, Volatility } from '../operation.ts';
import {
  VERDICTS,
  type ApprovalGiven,
  type MaskSummary,
  type NoticeSeen,
  type OperationCompleted,
  type OperationDecided,
  type OperationHeld,
  type PolicyChanged,
  type PolicyDigest,
  type RecordedColumn,
  type Refusal,
  type RowsReturned,
  type SessionEnd,
  type SessionStart,
  type UnknownFacts,
} from './event.ts';
import { counts, durability } from './documents.ts';
import { RecordingError } from './recording-error.ts';
import { ReferenceWindow } from './reference-window.ts';
import { parseJson } from './sealed.ts';
import {
  array,
  boolean,
  byKind,
  count,
  mapOf,
  nullable,
  object,
  oneOf,
  record,
  string,
  type Reader,
} from './shape.ts';

/** A decision as read; `redacted`: a secret was taken out of its text, and so parameters, digest and fingerprint too. */
export interface RecordedDecision extends OperationDecided {
  readonly redacted: boolean;
}

interface RecordedCopy {
  readonly kind: 'copy';
  readonly operation: number;
  readonly direction: 'in' | 'out';
  readonly data: Buffer;
}

export type AnyEvent =
  | SessionStart
  | RecordedDecision
  | OperationHeld
  | ApprovalGiven
  | RowsReturned
  | RecordedCopy
  | OperationCompleted
  | NoticeSeen
  | PolicyChanged
  | SessionEnd;

export interface RecordedEvent {
  readonly n: number;
  /** Hash of the line before. */
  readonly prev: string;
  /** µs since 1970. */
  readonly at: number;
  readonly event: AnyEvent;
}

const rule = object({ policy: string, rule: string });
const observed = object({ policy: string, would: oneOf('allow', 'deny', 'hold'), rules: array(rule) });
const access: Reader<readonly Access[]> = array(oneOf('read', 'write', 'delete', 'ddl', 'privilege'));
const volatility: Reader<Volatility> = oneOf('immutable', 'stable', 'volatile', 'unknown');

const decision: Reader<Decision | Refusal> = byKind<Decision | Refusal>({
  allow: object({ kind: oneOf('allow'), rules: array(rule), observed: array(observed) }),
  deny: object({
    kind: oneOf('deny'),
    rules: array(rule),
    observed: array(observed),
    message: string,
    hint: string,
  }),
  hold: object({
    kind: oneOf('hold'),
    rules: array(rule),
    observed: array(observed),
    requirements: array(
      object({
        rule,
        approvers: object({ users: array(string), groups: array(string) }),
        timeout: count,
        inTransaction: oneOf('Wait', 'Refuse', 'Auto'),
      }),
    ),
  }),
  refuse: object({
    kind: oneOf('refuse'),
    denial: object({
      code: oneOf(
        'denied',
        'approval-denied',
        'approval-expired',
        'approval-void',
        'mask',
        'unparseable',
        'unsupported',
        'recording',
        'policy-stale',
        'internal',
      ),
      message: string,
      detail: string,
      hint: string,
    }),
  }),
});

type StoredStatement = SqlStatementFacts & { readonly redacted: boolean };

interface KeptStatement {
  readonly facts: SqlStatementFacts;
  readonly redacted: boolean;
}

const statement: Reader<StoredStatement> = object<StoredStatement>({
  verb: string,
  effects: array(oneOf(...EFFECTS)),
  tables: array(object({ name: string, access, indirect: boolean })),
  columns: array(object({ table: string, name: string, access })),
  functions: array(object({ name: string, volatility })),
  hasWhere: boolean,
  text: string,
  fingerprint: string,
  redacted: boolean,
});

/** A number is that of the event which has it in full. */
function orReference<T>(read: Reader<T>): Reader<T | number> {
  return (value, path) => (typeof value === 'number' ? count(value, path) : read(value, path));
}

const postgresFacts = object({
  kind: oneOf('postgres'),
  statement: orReference(statement),
  parameters: array(nullable(string)),
  role: string,
  inTransaction: boolean,
});
type StoredFacts = ReturnType<typeof postgresFacts> | (UnknownFacts & { readonly redacted: boolean });
const facts = byKind<StoredFacts>({
  postgres: postgresFacts,
  unknown: object({ kind: oneOf('unknown'), text: string, redacted: boolean }),
});

const masks = byKind<MaskSummary>({
  clear: object({ kind: oneOf('clear') }),
  columns: object({
    kind: oneOf('columns'),
    fields: array(oneOf('clear', 'Redact', 'Null', 'Partial', 'Hash', 'composite', 'array')),
  }),
  all: object({ kind: oneOf('all'), reason: string }),
  refused: object({ kind: oneOf('refused'), reason: string }),
});

const columns: Reader<readonly RecordedColumn[]> = array(object({ name: string, type: string }));
const policies: Reader<readonly PolicyDigest[]> = array(object({ name: string, digest: string }));
const identity: Reader<Identity> = object<Identity>({
  issuer: string,
  subject: string,
  username: string,
  groups: array(string),
  claims: record,
  serviceAccount: string,
  pod: string,
});
const connection: Reader<ConnectionFacts> = object<ConnectionFacts>({
  name: string,
  namespace: string,
  protocol: string,
  database: string,
  labels: mapOf(string),
});

const sessionStart = object<SessionStart>({
  kind: oneOf('session-start'),
  identity,
  connection,
  client: object({ address: string, applicationName: string }),
  policies,
  serverVersion: string,
  durability,
});
const storedDecision = object({
  kind: oneOf('decision'),
  operation: count,
  decision,
  facts,
  digest: string,
  masks,
});
const storedRows = object({
  kind: oneOf('rows'),
  operation: count,
  columns: orReference(columns),
  rows: array(array(nullable(string))),
});
const storedCopy = object({
  kind: oneOf('copy'),
  operation: count,
  direction: oneOf('in', 'out'),
  encoding: oneOf('utf8', 'base64'),
  data: string,
});
const hold = object<OperationHeld>({
  kind: oneOf('hold'),
  operation: count,
  approval: string,
  rules: array(rule),
  expiresAt: string,
});
const approval = object<ApprovalGiven>({
  kind: oneOf('approval'),
  operation: count,
  approval: string,
  verdict: oneOf(...VERDICTS),
  by: string,
  decidedAt: string,
  reason: string,
  modified: nullable(string),
});
const complete = object<OperationCompleted>({
  kind: oneOf('complete'),
  operation: count,
  tag: nullable(string),
  error: nullable(object({ code: string, message: string })),
  rows: count,
  bytes: count,
  masked: count,
  rowsNotRecorded: count,
});
const notice = object<NoticeSeen>({
  kind: oneOf('notice'),
  operation: nullable(count),
  severity: string,
  code: string,
  message: string,
});
const policyChange = object<PolicyChanged>({
  kind: oneOf('policy-change'),
  policies,
  error: nullable(string),
});
const sessionEnd = object<SessionEnd>({ kind: oneOf('session-end'), reason: string, counts });

/** Reads the lines of one session in order, and resolves what names an earlier event. */
export class EventParser {
  readonly #statements = new Map<number, KeptStatement>();
  readonly #columns = new Map<number, readonly RecordedColumn[]>();
  readonly #window = new ReferenceWindow();

  parse(line: string): RecordedEvent {
    const { n, prev, at, ...rest } = record(parseJson(line, 'the event'), 'the event');
    const number = count(n, 'n');
    return { n: number, prev: string(prev, 'prev'), at: count(at, 'at'), event: this.#event(rest, number) };
  }

  #event(value: Readonly<Record<string, unknown>>, n: number): AnyEvent {
    switch (value['kind']) {
      case 'session-start':
        return sessionStart(value, '');
      case 'decision':
        return this.#decision(value, n);
      case 'hold':
        return hold(value, '');
      case 'approval':
        return approval(value, '');
      case 'rows':
        return this.#rows(value, n);
      case 'copy': {
        const { encoding, data, ...rest } = storedCopy(value, '');
        return { ...rest, data: Buffer.from(data, encoding) };
      }
      case 'complete':
        return complete(value, '');
      case 'notice':
        return notice(value, '');
      case 'policy-change':
        return policyChange(value, '');
      case 'session-end':
        return sessionEnd(value, '');
      default:
        throw new RecordingError('format', 'an event of an unknown kind');
    }
  }

  #decision(value: Readonly<Record<string, unknown>>, n: number): RecordedDecision {
    const stored = storedDecision(value, '');
    if (stored.facts.kind === 'unknown') {
      const { kind, text, redacted } = stored.facts;
      return { ...stored, facts: { kind, text }, redacted };
    }
    const { parameters, role, inTransaction } = stored.facts;
    const { facts: found, redacted } = this.#statement(stored.facts.statement, n);
    const resolved: Facts = { kind: 'postgres', sql: { statement: found, parameters, role, inTransaction } };
    return { ...stored, facts: resolved, redacted };
  }

  #statement(stored: StoredStatement | number, n: number): KeptStatement {
    if (typeof stored === 'number') return resolve<KeptStatement>(stored, this.#statements);
    const { redacted, ...facts } = stored;
    if (this.#window.addStatement(facts)) this.#forget();
    const kept = { facts: Object.freeze(facts), redacted };
    this.#statements.set(n, kept);
    return kept;
  }

  #rows(value: Readonly<Record<string, unknown>>, n: number): RowsReturned {
    const stored = storedRows(value, '');
    const found = resolve(stored.columns, this.#columns);
    if (typeof stored.columns !== 'number') {
      if (this.#window.addColumns(found)) this.#forget();
      this.#columns.set(n, found);
    }
    if (stored.rows.some((row) => row.length !== found.length)) {
      throw new RecordingError('format', 'a row has another number of values than there are columns');
    }
    return { ...stored, columns: found };
  }

  #forget(): void {
    this.#statements.clear();
    this.#columns.clear();
  }
}

function resolve<T>(item: T | number, known: ReadonlyMap<number, T>): T {
  if (typeof item !== 'number') return item;
  const found = known.get(item);
  if (found === undefined) throw new RecordingError('format', `names event ${item}, which does not have it`);
  return found;
}
