import { randomBytes } from 'node:crypto';

const SESSION_ID = /^\d{8}t\d{6}z-[0-9a-f]{32}$/;

/** Sorts by time, cannot be guessed (128 bits), and is safe as a file name and as a Kubernetes name. */
export function newSessionId(now: Date = new Date()): string {
  const stamp = now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').toLowerCase();
  return `${stamp}z-${randomBytes(16).toString('hex')}`;
}

export function isSessionId(value: string): boolean {
  return SESSION_ID.test(value);
}
