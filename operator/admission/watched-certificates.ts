/** Certificates that are looked at again and again, wherever they come from. */
import type { Logger } from 'pino';
import type { Certificates, ServingCertificate } from './certificate-source.ts';

export interface WatchedCertificates extends Certificates {
  /** Looks at once, as every `interval`. */
  look(): Promise<void>;
}

interface WatchOptions {
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** Milliseconds between looks. */
  readonly interval: number;
  /** For the log, such as `the mounted certificate`. */
  readonly what: string;
}

/** `read` rejects when they cannot be used; the ones known go on then. The first one's rejection is the caller's. */
export async function watchedCertificates(
  read: () => Promise<ServingCertificate>,
  { log, interval, what }: WatchOptions,
): Promise<WatchedCertificates> {
  const listeners = new Set<() => void>();
  let current = await read();
  let earlier: string | undefined;
  const look = async (): Promise<void> => {
    const next = await read();
    if (same(next, current)) return;
    if (next.bundle !== current.bundle) earlier = current.bundle;
    current = next;
    log.info(`${what} has changed`);
    for (const listener of listeners) listener();
  };
  let looking: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    looking = looking.then(look).catch((error: unknown) => {
      const message = error instanceof Error ? error.message : 'unknown';
      log.warn({ message }, `${what} cannot be had anew; the known one goes on`);
    });
  }, interval);
  timer.unref();
  return {
    look,
    current: () => current,
    earlierBundle: () => earlier,
    watch: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => {
      clearInterval(timer);
      return looking;
    },
  };
}

function same(a: ServingCertificate, b: ServingCertificate): boolean {
  return a.certificate === b.certificate && a.key === b.key && a.bundle === b.bundle;
}
