/** Sends one file: signed anew by the operator where it is a document, to the URL that the operator gives. */
import { createHash, hash } from 'node:crypto';
import type { UploadAnswer, UploadRequest } from '../../broker/protocol.ts';
import { MAX_DOCUMENT } from '../documents.ts';
import { isDocument } from '../object-store/keys.ts';
import { once } from '../parts.ts';
import { RecordingError } from '../recording-error.ts';
import { checkSeal, parseSealed, sealedBytes } from '../sealed.ts';
import { MAX_SEGMENT } from '../segment.ts';
import type { TrustedKey } from '../signer.ts';
import { readWhole, type RecordingStore } from '../store.ts';
import { putFile, type PutTarget } from './put.ts';
import type { RecordingBroker } from './recording-broker.ts';

export type Sent =
  /** The store has it, or the operator keeps it until the store does. */
  | { readonly kind: 'safe'; readonly with: 'store' | 'operator' }
  /** The connection names no store. */
  | { readonly kind: 'kept' }
  /** Try again. */
  | { readonly kind: 'failed'; readonly message: string }
  /** Another try will not help: a person has to look. */
  | { readonly kind: 'refused'; readonly message: string };

export interface SendingParts {
  readonly store: RecordingStore;
  /** The local key, which documents are signed with on disk. */
  readonly trusted: TrustedKey;
  readonly broker: RecordingBroker;
}

export interface SendingWay {
  /** Whether the operator takes it: the sidecar must end. */
  readonly handOver: 'never' | 'when-store-fails' | 'at-once';
  /** Milliseconds without any progress. */
  readonly idle: number;
  readonly signal: AbortSignal;
}

interface Prepared {
  readonly request: UploadRequest;
  readonly content: () => Promise<AsyncIterable<Uint8Array>>;
}

/** `connection` is `namespace/name`. Never rejects. */
export async function sendFile(
  parts: SendingParts,
  connection: string,
  recording: string,
  file: string,
  way: SendingWay,
): Promise<Sent> {
  try {
    const prepared = isDocument(file)
      ? await prepareDocument(parts, connection, recording, file, way.signal)
      : await prepareSegment(parts, connection, recording, file);
    return await send(parts.broker, prepared, way);
  } catch (error) {
    const message = error instanceof Error ? error.message : 'unknown failure';
    return isFinal(error) ? { kind: 'refused', message } : { kind: 'failed', message };
  }
}

async function send(broker: RecordingBroker, { request, content }: Prepared, way: SendingWay): Promise<Sent> {
  const { signal, idle, handOver } = way;
  const keep = async (): Promise<Sent> => {
    await broker.file(request, lazily(content), signal);
    return { kind: 'safe', with: 'operator' };
  };
  const notStored = (message: string): Promise<Sent> | Sent =>
    handOver === 'when-store-fails' ? keep() : { kind: 'failed', message };
  if (handOver === 'at-once') return keep();
  const answer = await broker.upload(request, signal);
  if (answer.kind === 'kept') return { kind: 'kept' };
  const target = targetOf(answer);
  const put = await putFile(target, lazily(content), { bytes: request.bytes, idle, signal });
  switch (put.kind) {
    case 'stored':
    case 'exists': {
      if (put.kind === 'stored' && target.url.startsWith('https:')) return { kind: 'safe', with: 'store' };
      // An earlier try may have got through without our hearing of it; and without TLS it may be the agent who says so. The broker
      // looks into the store, which may have stopped answering.
      const patient = AbortSignal.any([signal, AbortSignal.timeout(idle)]);
      const { kind } = await broker.upload({ ...request, conflict: 'yes' }, patient);
      if (kind === 'stored') return { kind: 'safe', with: 'store' };
      return notStored('the store has it not');
    }
    case 'failed':
      return notStored(`the store did not take it: ${put.message}`);
  }
}

/** Opens a file only when it is read: one that never is need not be closed. */
async function* lazily(open: () => Promise<AsyncIterable<Uint8Array>>): AsyncGenerator<Uint8Array> {
  yield* await open();
}

async function prepareDocument(
  { store, trusted, broker }: SendingParts,
  connection: string,
  recording: string,
  file: string,
  signal: AbortSignal,
): Promise<Prepared> {
  const local = await readWhole(store, recording, file, MAX_DOCUMENT);
  if (local === undefined) throw new RecordingError('format', `${file} is gone`);
  const sealed = parseSealed(local, file);
  // Nobody gets the operator's signature for what they wrote into the folder.
  const wrong = checkSeal(sealed, trusted);
  if (wrong !== undefined) throw new RecordingError('format', `${file}: ${wrong}`);
  const { payload } = sealed;
  const { keyId, signature } = await broker.seal({ connection, recording, payload }, signal);
  const bytes = sealedBytes({ payload, keyId, signature });
  const digest = hash('sha256', bytes, 'base64url');
  return {
    request: { connection, recording, file, bytes: bytes.length, digest },
    content: () => Promise.resolve(once(bytes)),
  };
}

async function prepareSegment(
  { store }: SendingParts,
  connection: string,
  recording: string,
  file: string,
): Promise<Prepared> {
  const content = async (): Promise<AsyncIterable<Uint8Array>> => {
    const found = await store.read(recording, file, MAX_SEGMENT);
    if (found === undefined) throw new RecordingError('format', `${file} is gone`);
    return found;
  };
  const sum = createHash('sha256');
  let bytes = 0;
  for await (const part of await content()) {
    sum.update(part);
    bytes += part.length;
  }
  return { request: { connection, recording, file, bytes, digest: sum.digest('base64url') }, content };
}

function targetOf({ url, headers = {}, ca }: UploadAnswer): PutTarget {
  if (url === undefined || !/^https?:\/\//.test(url))
    throw new RecordingError('format', 'the broker gave no URL');
  const texts = Object.entries(headers).flatMap(([name, value]) =>
    typeof value === 'string' && /^[a-z0-9-]+$/.test(name) ? [[name, value] as const] : [],
  );
  return { url, headers: Object.fromEntries(texts), ca };
}

function isFinal(error: unknown): boolean {
  if (error instanceof RecordingError) return error.code === 'format';
  if (!(error instanceof Error) || !('code' in error)) return false;
  return ['unauthenticated', 'forbidden', 'not-found', 'invalid', 'ended'].includes(String(error.code));
}
