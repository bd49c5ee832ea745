/**
 * Events as the text of their lines. Runs for every operation: what comes again by identity (statements, columns,
 * rules, mask summaries) is serialised once, and a statement or list of columns is written once a session and then
 * named by the number of the event that has it.
 */
import type {
  Decision,
  HoldRequirement,
  Observed,
  RuleRef,
  SqlFacts,
  SqlStatementFacts,
} from '../operation.ts';
import type {
  CopyMoved,
  OperationCompleted,
  OperationDecided,
  RecordedColumn,
  RecordingEvent,
  Refusal,
  RowsReturned,
  SessionEnd,
  SessionStart,
  UnknownFacts,
} from './event.ts';
import { jsonText } from './json-text.ts';
import { redactSecrets, REDACTED } from './redact.ts';
import { holdsCredentials } from './redact-statement.ts';
import { ReferenceWindow } from './reference-window.ts';

interface KnownStatement {
  /** Number of the event that has it in full. */
  readonly event: number;
  readonly secret: boolean;
}

const ruleTexts = new WeakMap<RuleRef, string>();
const summaryTexts = new WeakMap<object, string>();
const SECRET_COMMAND = /\b(?:create|alter)\s+(?:role|user|group|server|subscription)\b/i;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class EventEncoder {
  #statements = new WeakMap<SqlStatementFacts, KnownStatement>();
  #columns = new WeakMap<readonly RecordedColumn[], number>();
  readonly #window = new ReferenceWindow();
  /** Operations that carry a secret: what servers say about them may repeat it. */
  readonly #secretOperations = new Set<number>();

  /** The line's text from its first comma on, `n` being its number and `at` its time in µs since 1970. */
  encode(event: RecordingEvent | SessionStart | SessionEnd, n: number, at: number): string {
    return `,"at":${at},"kind":"${event.kind}"${this.#fields(event, n)}}`;
  }

  #fields(event: RecordingEvent | SessionStart | SessionEnd, n: number): string {
    switch (event.kind) {
      case 'decision':
        return this.#decision(event, n);
      case 'complete':
        return this.#complete(event);
      case 'rows':
        return this.#rows(event, n);
      case 'copy':
        return copyFields(event);
      case 'hold':
        return fields(event, ['operation', 'approval', 'rules', 'expiresAt']);
      case 'approval':
        return fields(
          { ...event, modified: event.modified === null ? null : redactSecrets(event.modified).text },
          ['operation', 'approval', 'verdict', 'by', 'decidedAt', 'reason', 'modified'],
        );
      case 'notice':
        return fields({ ...event, message: this.#said(event.operation, event.message) }, [
          'operation',
          'severity',
          'code',
          'message',
        ]);
      case 'policy-change':
        return fields(event, ['policies', 'error']);
      case 'session-start':
        return fields(event, ['identity', 'connection', 'client', 'policies', 'serverVersion', 'durability']);
      case 'session-end':
        return fields(event, ['reason', 'counts']);
    }
  }

  #decision(event: OperationDecided, n: number): string {
    const facts =
      event.facts.kind === 'postgres' ? this.#sqlFacts(event.facts.sql, n) : unknownFacts(event.facts);
    if (facts.secret) this.#secretOperations.add(event.operation);
    const digest = facts.secret ? '' : event.digest;
    return (
      `,"operation":${event.operation},"decision":${decisionText(event.decision, facts.secret)}` +
      `,"facts":${facts.text},"digest":${jsonText(digest)},"masks":${summaryText(event.masks)}`
    );
  }

  #sqlFacts(sql: SqlFacts, n: number): { readonly text: string; readonly secret: boolean } {
    let known = this.#statements.get(sql.statement);
    let statement: string;
    if (known === undefined) {
      const full = statementText(sql.statement);
      statement = full.text;
      known = { event: n, secret: full.secret };
      if (this.#window.addStatement({ text: full.shown, tables: sql.statement.tables })) this.#forget();
      this.#statements.set(sql.statement, known);
    } else {
      statement = String(known.event);
    }
    const parameters = known.secret ? sql.parameters.map(() => REDACTED) : sql.parameters;
    return {
      text:
        `{"kind":"postgres","statement":${statement},"parameters":${listText(parameters)}` +
        `,"role":${jsonText(sql.role)},"inTransaction":${sql.inTransaction}}`,
      secret: known.secret,
    };
  }

  #complete(event: OperationCompleted): string {
    const error =
      event.error === null
        ? 'null'
        : jsonText({ code: event.error.code, message: this.#said(event.operation, event.error.message) });
    this.#secretOperations.delete(event.operation);
    return (
      `,"operation":${event.operation},"tag":${event.tag === null ? 'null' : jsonText(event.tag)},"error":${error}` +
      `,"rows":${event.rows},"bytes":${event.bytes},"masked":${event.masked},"rowsNotRecorded":${event.rowsNotRecorded}`
    );
  }

  #rows(event: RowsReturned, n: number): string {
    const known = this.#columns.get(event.columns);
    if (known === undefined) {
      if (this.#window.addColumns(event.columns)) this.#forget();
      this.#columns.set(event.columns, n);
    }
    const columns = known ?? jsonText(event.columns.map(({ name, type }) => ({ name, type })));
    return `,"operation":${event.operation},"columns":${columns},"rows":${jsonText(event.rows)}`;
  }

  #forget(): void {
    this.#statements = new WeakMap();
    this.#columns = new WeakMap();
  }

  #said(operation: number | null, message: string): string {
    if (operation !== null && this.#secretOperations.has(operation)) return REDACTED;
    return holdsCredentials(message) ? REDACTED : message;
  }
}

function listText(values: readonly (string | null)[]): string {
  const [first] = values;
  if (first === undefined) return '[]';
  return values.length === 1 ? `[${jsonText(first)}]` : jsonText(values);
}

function fields<T extends object>(event: T, names: readonly (keyof T & string)[]): string {
  let text = '';
  for (const name of names) {
    const value = event[name];
    text += `,"${name}":${jsonText(value ?? null)}`;
  }
  return text;
}

interface StatementText {
  /** JSON of all facts. */
  readonly text: string;
  /** The statement's own text in it. */
  readonly shown: string;
  readonly secret: boolean;
}

function statementText(statement: SqlStatementFacts): StatementText {
  const redacted = redactSecrets(
    statement.text,
    statement.functions.some((called) => called.name.includes('dblink')),
  );
  // The fingerprint and digest of a text with a secret could serve to try guesses at it.
  const print = redacted.secret ? '' : statement.fingerprint;
  const text =
    `${factsText(statement)},"text":${jsonText(redacted.text)},"fingerprint":${jsonText(print)}` +
    `,"redacted":${redacted.secret}}`;
  return { text, shown: redacted.text, secret: redacted.secret };
}

/** By what statements share that differ in their text only. */
const factsTexts = new WeakMap<object, string>();

/** All facts but the text and what is made of it, without the closing brace. */
function factsText(statement: SqlStatementFacts): string {
  const shape = statement.shape ?? statement;
  let text = factsTexts.get(shape);
  if (text === undefined) {
    const { verb, effects, tables, columns, functions, hasWhere } = statement;
    const facts = {
      verb,
      effects,
      tables: tables.map(({ name, access, indirect }) => ({ name, access, indirect })),
      columns: columns.map(({ table, name, access }) => ({ table, name, access })),
      functions: functions.map(({ name, volatility }) => ({ name, volatility })),
      hasWhere,
    };
    text = jsonText(facts).slice(0, -1);
    factsTexts.set(shape, text);
  }
  return text;
}

function unknownFacts(facts: UnknownFacts): { readonly text: string; readonly secret: boolean } {
  // Not valid SQL, so nobody knows where in it a password is.
  const { text, secret } = redactSecrets(facts.text, SECRET_COMMAND.test(facts.text));
  return { text: `{"kind":"unknown","text":${jsonText(text)},"redacted":${secret}}`, secret };
}

function decisionText(decision: Decision | Refusal, secret: boolean): string {
  if (decision.kind === 'refuse') {
    const { code, message, detail, hint } = decision.denial;
    // A parser's message may quote the very literal.
    return jsonText({
      kind: 'refuse',
      denial: secret ? { code, message: REDACTED, detail: REDACTED, hint } : { code, message, detail, hint },
    });
  }
  const observed = decision.observed.length === 0 ? '[]' : observedText(decision.observed);
  const base = `{"kind":"${decision.kind}","rules":${rulesText(decision.rules)},"observed":${observed}`;
  switch (decision.kind) {
    case 'allow':
      return `${base}}`;
    case 'deny':
      return `${base},"message":${jsonText(decision.message)},"hint":${jsonText(decision.hint)}}`;
    case 'hold':
      return `${base},"requirements":${jsonText(decision.requirements.map(requirementOf))}}`;
  }
}

function observedText(observed: readonly Observed[]): string {
  return jsonText(observed.map(({ policy, would, rules }) => ({ policy, would, rules: rules.map(ruleOf) })));
}

function ruleOf({ policy, rule }: RuleRef): RuleRef {
  return { policy, rule };
}

function requirementOf({ rule, approvers, timeout, inTransaction }: HoldRequirement): HoldRequirement {
  const { users, groups } = approvers;
  return { rule: ruleOf(rule), approvers: { users, groups }, timeout, inTransaction };
}

function rulesText(rules: readonly RuleRef[]): string {
  let text = '[';
  for (const rule of rules) {
    let one = ruleTexts.get(rule);
    if (one === undefined) {
      one = jsonText(ruleOf(rule));
      ruleTexts.set(rule, one);
    }
    text += text.length === 1 ? one : `,${one}`;
  }
  return `${text}]`;
}

function summaryText(summary: OperationDecided['masks']): string {
  let text = summaryTexts.get(summary);
  if (text === undefined) {
    text = jsonText(summary);
    summaryTexts.set(summary, text);
  }
  return text;
}

function copyFields(event: CopyMoved): string {
  let data: string;
  let encoding = 'utf8';
  try {
    data = utf8.decode(event.data);
  } catch {
    // A chunk may end inside a character, and binary COPY is no text at all.
    encoding = 'base64';
    data = Buffer.from(event.data.buffer, event.data.byteOffset, event.data.byteLength).toString('base64');
  }
  return `,"operation":${event.operation},"direction":"${event.direction}","encoding":"${encoding}","data":${jsonText(data)}`;
}
