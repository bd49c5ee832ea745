/** `kubectl sidewarden sessions`: who is on what. */
import { parseSession, type Session } from '../../crds/session.ts';
import { displayJson, escapeLine } from '../../sidecar/approval/display.ts';
import type { Cluster } from './cluster.ts';

export interface SessionsOptions {
  readonly all?: boolean;
  readonly json?: boolean;
}

export async function sessions(cluster: Cluster, options: SessionsOptions): Promise<void> {
  const { items } = await cluster.list('sessions');
  const read = items.flatMap((item) => {
    const parsed = parseSession(item);
    return parsed.kind === 'parsed' ? [parsed.value] : [];
  });
  if (read.length < items.length)
    process.stderr.write(`${items.length - read.length} sessions cannot be read\n`);
  const chosen = read
    .filter(({ status }) => options.all === true || status?.phase !== 'Ended')
    .toSorted((one, other) => (one.spec.startedAt < other.spec.startedAt ? 1 : -1));
  if (options.json === true) process.stdout.write(`${displayJson(chosen, 2)}\n`);
  else
    process.stdout.write(
      chosen.length === 0 ? 'No run is connected.\n' : tableOf(chosen, cluster.namespace === undefined),
    );
}

const HEADINGS = [
  'NAME',
  'PHASE',
  'CONNECTION',
  'WHO',
  'POD',
  'ALLOWED',
  'DENIED',
  'HELD',
  'STARTED',
  'RECORDING',
];

function tableOf(all: readonly Session[], namespaces: boolean): string {
  const rows = [HEADINGS, ...all.map((session) => rowOf(session, namespaces))];
  const widths = HEADINGS.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

function rowOf({ metadata, spec, status }: Session, namespaces: boolean): readonly string[] {
  const { allow = 0, deny = 0, hold = 0 } = status?.decisions ?? {};
  return [
    `${namespaces ? `${metadata.namespace ?? ''}/` : ''}${metadata.name}`,
    status?.phase ?? '',
    spec.connection,
    escapeLine(spec.identity.username),
    escapeLine(spec.identity.pod ?? ''),
    ...[allow, deny, hold].map(String),
    spec.startedAt,
    escapeLine(status?.recording?.location ?? ''),
  ];
}
