/** `sidewarden recordings show`: what happened in a session, for a person. */
import { displayJson, escapeForDisplay, escapeLine } from '../sidecar/approval/display.ts';
import { readEvents } from '../sidecar/record/read.ts';
import type { AnyEvent, RecordedDecision, RecordedEvent } from '../sidecar/record/recorded.ts';
import {
  byteSize,
  clockTime,
  dateTime,
  duration,
  out,
  paint,
  plural,
  ruleNames,
} from './recordings-output.ts';
import { type CheckedOptions, checkFirst } from './recordings-checked.ts';
import { findSession, storeOf } from './recordings-place.ts';
import { tableLines } from './recordings-table.ts';

/** What a preview shows of an answer. */
const PREVIEW = { cell: 40, rows: 5 };

export async function show(typed: string, options: CheckedOptions): Promise<void> {
  const session = await findSession(options, typed);
  await checkFirst(options, session);
  const timeline = new Timeline();
  if (options.json !== true) await out(`${paint('bold', session)}\n`);
  for await (const event of readEvents(await storeOf(options), session)) {
    if (options.json === true) await out(`${displayJson(jsonOf(event))}\n`);
    else for (const line of timeline.lines(event)) await out(`${line}\n`);
  }
}

/** One event with what it refers to in full; `prev` is for `verify`. */
export function jsonOf({ n, at, event }: RecordedEvent): object {
  const time = new Date(at / 1000).toJSON() as string | null;
  if (event.kind !== 'copy') return { n, time, ...event };
  return { n, time, ...event, data: event.data.toString('base64') };
}

const INDENT = ' '.repeat(15);

class Timeline {
  readonly #startedAt = new Map<number, number>();

  lines({ at, event }: RecordedEvent): readonly string[] {
    const [first, ...rest] = this.#lines(event, at);
    if (first === undefined) return [];
    return [`${paint('dim', clockTime(at))}  ${first}`, ...rest.map((line) => INDENT + line)];
  }

  #lines(event: AnyEvent, at: number): readonly string[] {
    switch (event.kind) {
      case 'session-start': {
        const { identity, connection, client } = event;
        return [
          `${dateTime(at / 1000)} UTC  ${escapeLine(identity.username)} (${escapeLine(identity.issuer)}, ${escapeLine(identity.subject)})`,
          `on ${escapeLine(`${connection.namespace}/${connection.name}`)}, database ${escapeLine(connection.database)}, server ${escapeLine(event.serverVersion)}`,
          `from ${escapeLine(client.address)}, ${escapeLine(client.applicationName)}; recording: ${event.durability}`,
          `policies: ${escapeLine(event.policies.map(({ name }) => name).join(', ')) || 'none'}`,
        ];
      }
      case 'decision':
        this.#startedAt.set(event.operation, at);
        return decisionLines(event);
      case 'hold':
        return [
          `#${event.operation} ${paint('yellow', 'waits')} for approval ${escapeLine(event.approval)} until ${escapeLine(event.expiresAt)}`,
        ];
      case 'approval': {
        const by = event.by === '' ? '' : ` by ${escapeLine(event.by)}`;
        const why = event.reason === '' ? '' : `: ${escapeLine(event.reason)}`;
        const line = `#${event.operation} ${paint('yellow', event.verdict)}${by}${why} (approval ${escapeLine(event.approval)})`;
        return event.modified === null ? [line] : [line, ...escapeForDisplay(event.modified).split('\n')];
      }
      case 'rows': {
        const more = event.rows.length - PREVIEW.rows;
        const table = tableLines(event.columns, event.rows, PREVIEW);
        return [`#${event.operation} rows`, ...table, ...(more > 0 ? [`… ${plural(more, 'more row')}`] : [])];
      }
      case 'copy':
        return [`#${event.operation} COPY ${event.direction}: ${byteSize(event.data.length)}`];
      case 'complete':
        return [this.#complete(event, at)];
      case 'notice':
        return [
          `${event.operation === null ? '' : `#${event.operation} `}${escapeLine(event.severity)}: ${escapeLine(event.message)}`,
        ];
      case 'policy-change':
        return [
          event.error === null ? 'policies changed' : `policy change refused: ${escapeLine(event.error)}`,
        ];
      case 'session-end': {
        const { operations, allow, deny, hold, refuse, rows } = event.counts;
        const counts = `${plural(operations, 'operation')}: ${allow} allowed, ${hold} held, ${deny} denied, ${refuse} refused; ${plural(rows, 'row')}`;
        return [`ended: ${escapeLine(event.reason)}`, counts];
      }
    }
  }

  #complete(event: Extract<AnyEvent, { kind: 'complete' }>, at: number): string {
    const since = this.#startedAt.get(event.operation);
    this.#startedAt.delete(event.operation);
    const took = since === undefined ? '' : ` · ${duration(at - since)}`;
    if (event.error !== null) {
      return `#${event.operation} ${paint('red', `ERROR ${escapeLine(event.error.code)}`)} ${escapeLine(event.error.message)}${took}`;
    }
    const left = event.rowsNotRecorded > 0 ? ` · ${plural(event.rowsNotRecorded, 'row')} not recorded` : '';
    return `#${event.operation} ${escapeLine(event.tag ?? '')} · ${plural(event.rows, 'row')}, ${byteSize(event.bytes)}${left}${took}`;
  }
}

const STYLES = { allow: 'green', deny: 'red', refuse: 'red', hold: 'yellow' } as const;

function decisionLines(event: RecordedDecision): readonly string[] {
  const { decision, facts } = event;
  const why = decision.kind === 'refuse' ? decision.denial.code : ruleNames(decision.rules) || 'default';
  const lines = [`#${event.operation} ${paint(STYLES[decision.kind], decision.kind)} by ${escapeLine(why)}`];
  const text = facts.kind === 'postgres' ? facts.sql.statement.text : facts.text;
  lines.push(
    ...escapeForDisplay(text)
      .split('\n')
      .map((line) => paint('bold', line)),
  );
  if (facts.kind === 'postgres') {
    const { parameters, role, statement, inTransaction } = facts.sql;
    parameters.forEach((value, index) =>
      lines.push(`$${index + 1} = ${value === null ? 'NULL' : `'${escapeLine(value)}'`}`),
    );
    const block = inTransaction ? ', in a transaction' : '';
    lines.push(
      paint(
        'dim',
        `${escapeLine(statement.verb)}, ${statement.effects.join('+')}, as ${escapeLine(role)}${block}`,
      ),
    );
  }
  if (event.redacted) lines.push(paint('yellow', 'a secret was left out of the recording'));
  if (decision.kind === 'deny') lines.push(escapeLine(decision.message));
  if (decision.kind === 'refuse')
    lines.push(escapeLine(`${decision.denial.message} (${decision.denial.detail})`));
  for (const one of decision.kind === 'refuse' ? [] : decision.observed) {
    lines.push(paint('dim', `${escapeLine(one.policy)} (observing) would ${one.would}`));
  }
  lines.push(...maskLines(event.masks));
  return lines;
}

function maskLines(masks: RecordedDecision['masks']): readonly string[] {
  switch (masks.kind) {
    case 'clear':
      return [];
    case 'columns':
      return [paint('dim', `masks: ${masks.fields.join(', ')}`)];
    case 'all':
    case 'refused':
      return [paint('dim', `masks: ${masks.kind}, ${escapeLine(masks.reason)}`)];
  }
}
