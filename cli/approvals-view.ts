/** What an approver reads. All that comes from the agent is escaped, and set apart by a bar that it cannot draw. */
import { styleText } from 'node:util';
import type { Approval } from '../crds/approval.ts';
import { escapeForDisplay, escapeLine, summarize } from '../sidecar/approval/display.ts';
import { describePhase, holdOf, whoIsNeeded, whoMay } from '../sidecar/approval/judge.ts';
import { sameOperationKey } from '../sidecar/approval/object.ts';
import { operationWarnings } from '../sidecar/approval/suspicion.ts';

export interface Screen {
  readonly color: boolean;
  /** Characters a line; lines are not broken when null. */
  readonly width: number | null;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** What stands before `approve NAME` in commands to copy: `sidewarden approvals` when not given. */
  readonly program?: string;
  /** What follows `approve NAME` there: ` --state DIR`, or nothing. */
  readonly options: string;
  /** Names are of several namespaces. */
  readonly namespaces?: boolean;
}

type Style = Parameters<typeof styleText>[0];
type Paint = (style: Style, text: string) => string;

const painter = ({ color }: Screen): Paint =>
  color ? (style, text) => styleText(style, text, { validateStream: false }) : (_style, text) => text;

const LONG_TEXT = 4_000;
const RISKY = new Set(['delete', 'ddl', 'privilege', 'administer', 'opaque']);

/** The approval whole: head, warnings, text, parameters, plan, and what to type. */
export function showApproval(approval: Approval, screen: Screen): string {
  const { text } = approval.spec.request.operation;
  const head = headOf(approval, screen);
  const body = [
    ...statementOf(approval, screen),
    ...parametersOf(approval, screen),
    ...planOf(approval, screen),
  ];
  // What was first has scrolled away by the end of a long text.
  const again = text.length > LONG_TEXT ? ['', ...warningsOf(approval, screen), ...head] : [];
  return [
    ...head,
    ...warningsOf(approval, screen),
    ...body,
    ...again,
    ...commandsOf(approval, screen),
    '',
  ].join('\n');
}

interface Row {
  readonly label: string;
  readonly value: string;
  readonly style?: Style;
}

function headOf(approval: Approval, screen: Screen): readonly string[] {
  const paint = painter(screen);
  const { request } = approval.spec;
  const { operation, identity, evidence } = request;
  const risky = operation.effects.some((effect) => RISKY.has(effect));
  const rows: readonly Row[] = [
    { label: 'Who', value: whoOf(identity) },
    { label: 'On', value: onWhat(approval) },
    {
      label: 'What',
      value: `${escapeLine(operation.verb)} · ${operation.effects.join(', ')}`,
      style: risky ? 'red' : 'bold',
    },
    { label: 'Tables', value: operation.tables.map(tableOf).join(', ') },
    {
      label: 'Rows',
      value:
        evidence.estimatedRows === undefined ? '' : `about ${evidence.estimatedRows.toLocaleString('en-US')}`,
    },
    { label: 'No plan', value: escapeLine(evidence.unavailable ?? '') },
    { label: 'Locks', value: locksOf(approval), ...(operation.inTransaction ? { style: 'yellow' } : {}) },
    {
      label: 'Held by',
      value: request.requirements.map((one) => escapeLine(`${holdOf(one)} (${whoMay([one])})`)).join(', '),
    },
    { label: 'Decided', value: decisionOf(approval) },
  ];
  const title = `${paint('bold', approval.metadata.name)}  ${phaseOf(approval, screen)}`;
  return [title, '', ...rows.filter(({ value }) => value !== '').flatMap((row) => rowOf(row, screen)), ''];
}

/** Names can be the agent's choice, so that a long one must not begin a line as if it were ours. */
function rowOf({ label, value, style }: Row, screen: Screen): readonly string[] {
  const paint = painter(screen);
  const room = screen.width === null ? Number.POSITIVE_INFINITY : Math.max(20, screen.width - 14);
  return broken(value, room).map(({ first, part }) => {
    const text = style === undefined ? part : paint(style, part);
    return first ? `  ${label.padEnd(9)}${text}` : `         ${paint('dim', '┊')} ${text}`;
  });
}

function whoOf({
  username,
  subject,
  issuer,
  groups,
  pod = '',
}: Approval['spec']['request']['identity']): string {
  const member = groups.length === 0 ? '' : `, groups ${groups.join(', ')}`;
  const where = pod === '' ? '' : `, pod ${pod}`;
  return escapeLine(`${username} (${subject}, by ${issuer}${where}${member})`);
}

function onWhat({ metadata, spec }: Approval): string {
  const { connection, operation, session } = spec.request;
  const place = metadata.namespace === undefined ? connection : `${metadata.namespace}/${connection}`;
  const database = operation.database === undefined ? '' : `, database ${operation.database}`;
  const path = operation.searchPath.length === 0 ? '' : `, search_path ${operation.searchPath.join(', ')}`;
  return escapeLine(`${place}${database}, role ${operation.role}${path}, session ${session}`);
}

function tableOf({
  name,
  access,
  indirect,
}: Approval['spec']['request']['operation']['tables'][number]): string {
  return `${escapeLine(name)} (${access.join(', ')}${indirect ? ', indirectly' : ''})`;
}

function locksOf({ spec }: Approval): string {
  const { operation, evidence } = spec.request;
  const locks = (evidence.locks ?? []).map(
    ({ relation, mode, held }) => `${escapeLine(`${relation} ${mode}`)}${held ? ' (held now)' : ''}`,
  );
  const wrote = operation.transactionWrote ? ' and has written' : '';
  const open = operation.inTransaction
    ? `a transaction is open${wrote}: its locks are kept while you decide`
    : '';
  return [open, locks.join(', ')].filter((part) => part !== '').join('; ');
}

function decisionOf(approval: Approval): string {
  const { status, spec } = approval;
  const given = (spec.approvals ?? []).map(({ by, reason }) =>
    escapeLine(`${by.username} approved${reason === undefined ? '' : ` (${reason})`}`),
  );
  if (status?.phase === 'Pending') {
    return given.length === 0
      ? ''
      : `${given.join(', ')}; still needed: ${escapeLine(whoIsNeeded(approval))}`;
  }
  const reason = spec.decision?.reason;
  return escapeLine(`${describePhase(approval)}${reason === undefined ? '' : `, reason: ${reason}`}`);
}

function phaseOf({ status, spec }: Approval, screen: Screen): string {
  const paint = painter(screen);
  const phase = status?.phase ?? 'Pending';
  if (phase !== 'Pending')
    return phase === 'Denied' || phase === 'Void' ? paint('red', phase) : paint('green', phase);
  const left = Date.parse(spec.request.expiresAt) - screen.now;
  return paint(
    left < 60_000 ? 'red' : 'yellow',
    left > 0 ? `Pending · ${timeWords(left)} left` : 'Pending · time is up',
  );
}

/** Found anew, so that they do not rest on what the object says of itself. */
function warningsFor({ spec }: Approval): readonly string[] {
  const { operation, warnings } = spec.request;
  return [...new Set([...operationWarnings(operation.text, operation.parameters), ...warnings])];
}

function warningsOf(approval: Approval, screen: Screen): readonly string[] {
  const paint = painter(screen);
  const warnings = warningsFor(approval).map((warning) =>
    paint(['red', 'bold'], `  ! ${escapeLine(warning)}`),
  );
  return warnings.length === 0 ? [] : [...warnings, ''];
}

function statementOf({ spec }: Approval, screen: Screen): readonly string[] {
  const { operation, digest } = spec.request;
  const lines = [`Statement, ${sizeOf(operation.text)}, ${digest}`, ...barred(operation.text, screen)];
  const { modified } = spec.decision ?? {};
  if (modified === undefined) return [...lines, ''];
  return [...lines, '', `Modified to, ${sizeOf(modified)}`, ...barred(modified, screen), ''];
}

function sizeOf(text: string): string {
  const lines = text.split('\n').length;
  const size = `${text.length.toLocaleString('en-US')} characters, ${lines} ${lines === 1 ? 'line' : 'lines'}`;
  return text.length > LONG_TEXT
    ? `LONG: ${size}, shown whole (best in a pager: pipe \`show\` to less)`
    : size;
}

function parametersOf({ spec }: Approval, screen: Screen): readonly string[] {
  const { parameters } = spec.request.operation;
  if (parameters.length === 0) return [];
  const shown = parameters.flatMap((value, index) =>
    value === null
      ? [`$${index + 1} is NULL`]
      : [`$${index + 1}, ${value.length.toLocaleString('en-US')} characters`, ...barred(value, screen)],
  );
  return ['Parameters', ...shown, ''];
}

function planOf({ spec }: Approval, screen: Screen): readonly string[] {
  const { plan } = spec.request.evidence;
  return plan === undefined ? [] : ['Plan', ...barred(plan, screen), ''];
}

/** Each line behind a bar, so that no text can look like ours; a broken line goes on behind a dotted one. */
function barred(text: string, screen: Screen): readonly string[] {
  const paint = painter(screen);
  const room = screen.width === null ? Number.POSITIVE_INFINITY : Math.max(20, screen.width - 4);
  return escapeForDisplay(text)
    .replaceAll('\t', '    ')
    .split('\n')
    .flatMap((line) => broken(line, room))
    .map(({ first, part }) => `${paint('dim', first ? '│' : '┊')} ${part}`);
}

interface Part {
  readonly first: boolean;
  readonly part: string;
}

function broken(line: string, room: number): readonly Part[] {
  if (line.length * 2 <= room || room === Number.POSITIVE_INFINITY) return [{ first: true, part: line }];
  const parts: Part[] = [];
  let part = '';
  let used = 0;
  for (const character of line) {
    const columns = columnsOf(character);
    if (used + columns > room) {
      parts.push({ first: parts.length === 0, part });
      part = '';
      used = 0;
    }
    part += character;
    used += columns;
  }
  return [...parts, { first: parts.length === 0, part }];
}

/** At most so many columns: a terminal that broke a line by itself would leave out the bar. */
function columnsOf(character: string): number {
  return (character.codePointAt(0) ?? 0) >= 0x1100 ? 2 : 1;
}

function commandsOf(approval: Approval, screen: Screen): readonly string[] {
  if (approval.status?.phase !== 'Pending') return [];
  const { name } = approval.metadata;
  const { program = 'sidewarden approvals', options } = screen;
  const command = (verb: string, rest = '') => `${program} ${verb} ${name}${options}${rest}`;
  return [
    `  Approve  ${command('approve')}`,
    `  Deny     ${command('deny', " --reason '…'")}`,
    `  Change   ${command('modify')}`,
  ];
}

/** A table of approvals; equal pending ones are one row with their number. */
export function listApprovals(approvals: readonly Approval[], screen: Screen): string {
  const paint = painter(screen);
  if (approvals.length === 0) return 'Nothing is pending.\n';
  const rows = merged(approvals).map(({ approval, times }) => {
    const { operation, evidence, identity } = approval.spec.request;
    const many = times > 1 ? ` ×${times}` : '';
    const flag = warningsFor(approval).length > 0 ? '! ' : '';
    return [
      `${screen.namespaces === true ? `${approval.metadata.namespace ?? ''}/` : ''}${approval.metadata.name}${many}`,
      stateOf(approval, screen.now),
      escapeLine(shortName(identity.username)).slice(0, 32),
      escapeLine(operation.verb),
      evidence.estimatedRows === undefined ? '' : String(evidence.estimatedRows),
      flag + summarize(operation.text, 90),
    ];
  });
  const headings = ['NAME', 'STATE', 'WHO', 'VERB', 'ROWS', 'OPERATION'];
  const widths = headings.map((heading, at) =>
    Math.max(heading.length, ...rows.map((row) => row[at]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd();
  return [paint('dim', line(headings)), ...rows.map((row) => fit(line(row), screen.width)), ''].join('\n');
}

/** Where a service account is from tells more than that it is one. */
function shortName(username: string): string {
  return username.replace(/^system:serviceaccount:([^:]+):/u, '$1/');
}

/** The end of a row may be left out, since `show` has it all; three dots say so. */
function fit(line: string, width: number | null): string {
  return width === null || line.length <= width ? line : `${line.slice(0, Math.max(1, width - 1))}…`;
}

function stateOf({ status, spec }: Approval, now: number): string {
  const phase = status?.phase ?? 'Pending';
  if (phase !== 'Pending') return phase;
  return `${timeWords(Math.max(0, Date.parse(spec.request.expiresAt) - now))} left`;
}

function merged(
  approvals: readonly Approval[],
): readonly { readonly approval: Approval; readonly times: number }[] {
  const rows = new Map<string, { approval: Approval; times: number }>();
  for (const approval of approvals) {
    const pending = approval.status?.phase === 'Pending';
    const key = pending ? sameOperationKey(approval) : approval.metadata.name;
    const row = rows.get(key);
    if (row === undefined) rows.set(key, { approval, times: 1 });
    else row.times += 1;
  }
  return [...rows.values()];
}

function timeWords(milliseconds: number): string {
  const seconds = Math.ceil(milliseconds / 1000);
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes}m${String(seconds % 60).padStart(2, '0')}s`
    : `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, '0')}m`;
}
