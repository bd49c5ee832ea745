/** Certificates by cert-manager: the files of its Secret in a mounted folder, read again every few seconds. */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Certificates, ServingCertificate } from './certificate-source.ts';
import { watchedCertificates } from './watched-certificates.ts';

/** Rejects when the folder does not hold a certificate with its key (`tls.crt`, `tls.key`, `ca.crt`). */
export async function mountedCertificates(
  folder: string,
  log: Pick<Logger, 'info' | 'warn'>,
  /** Milliseconds between looks. */
  interval = 5_000,
): Promise<Certificates> {
  // The kubelet swaps all files at once, by a link; between two reads it may: then the key does not match, and we look again.
  return watchedCertificates(() => read(folder), { log, interval, what: 'the mounted certificate' });
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
