/** Certificates by cert-manager: the files of its Secret in a mounted folder, read again every few seconds. */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Certificates, ServingCertificate } from './certificate-source.ts';

/** Rejects when the folder does not hold a certificate with its key (`tls.crt`, `tls.key`, `ca.crt`). */
export async function mountedCertificates(
  folder: string,
  log: Pick<Logger, 'info' | 'warn'>,
  /** Milliseconds between looks. */
  interval = 5_000,
): Promise<Certificates> {
  const listeners = new Set<() => void>();
  let current = await read(folder);
  let earlier: string | undefined;
  const look = async () => {
    const next = await read(folder);
    if (same(next, current)) return;
    if (next.bundle !== current.bundle) earlier = current.bundle;
    current = next;
    log.info('the mounted certificate has changed');
    for (const listener of listeners) listener();
  };
  let looking: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    // The kubelet swaps all files at once, by a link; between two reads it may: then the key does not match, and we look again.
    looking = looking.then(look).catch((error: unknown) => {
      const message = error instanceof Error ? error.message : 'unknown';
      log.warn({ message }, 'the mounted certificate cannot be used; the known one goes on');
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

async function read(folder: string): Promise<ServingCertificate> {
  const [certificate = '', key = '', bundle = ''] = await Promise.all(
    ['tls.crt', 'tls.key', 'ca.crt'].map((name) => readFile(join(folder, name), 'utf8')),
  );
  if (!new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))) {
    throw new Error('tls.key is not the key of tls.crt');
  }
  return { certificate, key, bundle };
}

function same(a: ServingCertificate, b: ServingCertificate): boolean {
  return a.certificate === b.certificate && a.key === b.key && a.bundle === b.bundle;
}
