/** The program in the operator's image. */
import './engine.ts';
import pino from 'pino';
import { dumpNothing } from '../sidecar/core-dump.ts';
import { podPlaceFrom } from './kube/pod-access.ts';
import { type OperatorOptions, startOperator } from './operator.ts';
import { settingsFrom, type Settings } from './settings.ts';

/** Milliseconds: by then no API server and no sidecar is sent to a pod that is being deleted, also where kube-proxy is late. */
const DRAIN = 8_000;

async function run(settings: Settings, access: Pick<OperatorOptions, 'kubeconfig' | 'pod'>): Promise<void> {
  const log = pino(
    { level: settings.logLevel, base: null, redact: ['password', '*.password', 'token', '*.token'] },
    pino.destination({ dest: 2, sync: true }),
  );
  if (!dumpNothing()) log.warn('a core dump of this process would hold its memory: /proc cannot be written');
  const ended = new Promise<NodeJS.Signals>((done) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => done(signal));
  });
  try {
    const starting = startOperator({ settings, ...access, log, drain: DRAIN });
    const operator = await Promise.race([starting, ended]);
    // Nothing has been taken on yet: what is open ends with the process.
    if (typeof operator === 'string') process.exit(0);
    log.info({ ports: operator.ports }, 'ready');
    const signal = await ended;
    log.info({ signal }, 'stopping');
    // Below the 30 s that the kubelet waits.
    setTimeout(() => process.exit(1), 25_000).unref();
    await operator.close();
    process.exit(0);
  } catch (error) {
    log.fatal({ err: error }, 'the operator could not start');
    process.exit(1);
  }
}

const settings = settingsFrom(process.env);
if ('namespace' in settings) {
  await run(settings, { kubeconfig: process.env['KUBECONFIG'], pod: podPlaceFrom(process.env) });
} else {
  process.stderr.write(`${settings.join('\n')}\n`);
  process.exit(2);
}
