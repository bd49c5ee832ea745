/** The program in the sidecar's image. */
import './engine.ts';
import pino from 'pino';
import { dumpNothing } from './core-dump.ts';
import { HealthServer } from './health.ts';
import { redirect } from './redirect.ts';
import { type Settings, settingsFrom } from './settings.ts';
import { Sidecar } from './sidecar.ts';

async function run(settings: Settings): Promise<void> {
  const log = pino(
    { level: settings.logLevel, base: null, redact: ['password', '*.password'] },
    pino.destination({ dest: 2, sync: true }),
  );
  if (!dumpNothing()) log.warn('a core dump of this process would hold its memory: /proc cannot be written');
  let sidecar: Sidecar | undefined;
  const health = new HealthServer({
    get ready() {
      return sidecar?.ready ?? false;
    },
    metrics: async () => (await sidecar?.metrics()) ?? '',
    get metricsType() {
      return sidecar?.metricsType ?? 'text/plain';
    },
  });
  const ended = new Promise<NodeJS.Signals>((done) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => done(signal));
  });
  try {
    await health.listen(settings.health);
    const { broker, state, redirect, spoolBytes } = settings;
    sidecar = await Sidecar.start({ broker, state, redirect, spoolBytes, log });
  } catch (error) {
    log.fatal({ err: error }, 'the sidecar could not start');
    process.exit(1);
  }
  const signal = await ended;
  log.info({ signal }, 'stopping');
  // The kubelet's patience ends too, whoever does not answer. What was not handed over by then the Session tells, as for a kill.
  setTimeout(() => {
    log.error('the time to end is up: something did not end');
    process.exit(0);
  }, settings.grace + 500).unref();
  await sidecar.stop(settings.grace);
  await health.close();
  log.info('stopped');
  process.exit(0);
}

/** The same image also sets the redirect's rules, in an init container: `redirect UID LISTEN=HOST:PORT...`. */
async function setRedirect(args: readonly string[]): Promise<void> {
  try {
    await redirect(args);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : 'the redirect failed'}\n`);
    process.exit(1);
  }
}

const [, , command, ...args] = process.argv;
const settings = settingsFrom(process.env);
if (command === 'redirect') {
  await setRedirect(args);
} else if (command !== undefined) {
  process.stderr.write(
    `${JSON.stringify(command)} is unknown: there is redirect, and without arguments the sidecar\n`,
  );
  process.exit(2);
} else if ('state' in settings) {
  await run(settings);
} else {
  process.stderr.write(`${settings.join('\n')}\n`);
  process.exit(2);
}
