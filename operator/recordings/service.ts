/** `Recordings` over the buckets that connections name. */
import type { Logger } from 'pino';
import { MAX_DOCUMENT } from '../../sidecar/record/documents.ts';
import type { Bucket } from '../../sidecar/record/object-store/bucket.ts';
import { isDocument, isFinished, sessionPrefix } from '../../sidecar/record/object-store/keys.ts';
import { signPayload } from '../../sidecar/record/sealed.ts';
import { MAX_SEGMENT } from '../../sidecar/record/segment.ts';
import { isSessionId } from '../../sidecar/record/session-id.ts';
import type { RecordingSigner } from '../../sidecar/record/signer.ts';
import type { SealAnswer, UploadAnswer, UploadRequest } from '../../sidecar/broker/protocol.ts';
import type { Kube } from '../kube/kube.ts';
import { readConnection, readSession } from '../kube/read.ts';
import { writeSessionList } from './completion.ts';
import { Places } from './places.ts';
import type { RecordedRun, RecordingOwner, Recordings } from './recordings.ts';
import { guarded, RecordingsError } from './recordings-error.ts';
import { checkPayload } from './seal.ts';
import { Spool, type SpooledFile } from './spool.ts';
import { SpoolDrain } from './spool-drain.ts';

export interface StoredRecordingsOptions {
  readonly kube: Pick<Kube, 'get' | 'stores'>;
  readonly signer: RecordingSigner;
  /** Folder of this replica's own, for files that sidecars hand over; it must outlast the container. */
  readonly spool: string;
  /** How much may lie there, in bytes. */
  readonly spoolCapacity: number;
  readonly log: Logger;
}

export class StoredRecordings implements Recordings {
  /** For `recordingReady`. */
  readonly places: Places;
  readonly #kube: Pick<Kube, 'get' | 'stores'>;
  readonly #signer: RecordingSigner;
  readonly #spool: Spool;
  readonly #drain: SpoolDrain;
  /** ConfigMaps by connection as last seen: a connection may be gone before the last file of its sessions is stored. */
  readonly #configMaps = new Map<string, string>();
  readonly #completed = new Completed();

  private constructor({ kube, signer, spool, spoolCapacity, log }: StoredRecordingsOptions) {
    this.#kube = kube;
    this.#signer = signer;
    this.places = new Places(kube);
    this.#spool = new Spool(spool, spoolCapacity);
    this.#drain = new SpoolDrain(this.#spool, (file) => this.#target(file), log);
  }

  /** Takes up what an earlier run left in the spool. */
  static async open(options: StoredRecordingsOptions): Promise<StoredRecordings> {
    const recordings = new StoredRecordings(options);
    await recordings.#spool.open();
    recordings.#drain.wake();
    return recordings;
  }

  /** Bytes that wait in the operator's own spool. */
  get spoolBytes(): number {
    return this.#spool.bytes;
  }

  async close(): Promise<void> {
    await this.#drain.close();
    this.places.close();
  }

  async seal(
    owner: RecordingOwner,
    recording: string,
    payload: string,
    run: RecordedRun,
  ): Promise<SealAnswer> {
    // A refusal is a rejection, as with the others.
    await Promise.resolve();
    this.#checkOpen(owner);
    checkPayload(owner, recording, payload, run);
    return { keyId: this.#signer.keyId, signature: signPayload(payload, this.#signer) };
  }

  async upload(owner: RecordingOwner, file: UploadRequest): Promise<UploadAnswer> {
    this.#checkOpen(owner);
    checkFile(file);
    const bucket = await this.#bucket(owner);
    if (bucket === undefined) return { kind: 'kept' };
    const key = keyOf(bucket, { owner, recording: file.recording, file: file.file });
    if (file.conflict === 'yes') {
      const same = await guarded(() => bucket.holds(key, file));
      if (same === true) return { kind: 'stored' };
      if (same === false)
        throw invalid(`another ${file.file} of recording ${file.recording} is in the store`);
    }
    const { url, headers, ca } = await guarded(() => bucket.presign(key, file));
    return { kind: 'put', url, headers, ...(ca === undefined ? {} : { ca }) };
  }

  async keep(owner: RecordingOwner, file: UploadRequest, content: AsyncIterable<Uint8Array>): Promise<void> {
    this.#checkOpen(owner);
    checkFile(file);
    if (this.#configMapOf(owner) === undefined) throw invalid('the connection names no store');
    await this.#spool.put({ owner, recording: file.recording, file: file.file }, file, content);
    this.#drain.wake();
  }

  async complete(
    owner: RecordingOwner,
    recordings: number,
  ): Promise<{ readonly location: string; readonly digest: string } | undefined> {
    const bucket = await this.#bucket(owner);
    if (bucket === undefined) throw new RecordingsError('misconfigured', 'the connection names no store');
    const folder = sessionPrefix(bucket.place.prefix, checkOwner(owner));
    const digest = await guarded(() => writeSessionList(bucket, folder, owner, recordings, this.#signer));
    if (digest === undefined) return undefined;
    this.#completed.add(owner);
    return { location: locationOf(bucket, folder), digest };
  }

  async location(owner: RecordingOwner): Promise<string | undefined> {
    const bucket = await this.#bucket(owner);
    return bucket && locationOf(bucket, sessionPrefix(bucket.place.prefix, checkOwner(owner)));
  }

  /** A list that was signed is whole: nothing is added to it. */
  #checkOpen(owner: RecordingOwner): void {
    const object = this.#kube.stores.sessions.get(owner.namespace, owner.session);
    const session = object && readSession(object);
    const signed =
      session?.kind === 'parsed' && session.value.status?.recording?.manifestDigest !== undefined;
    if (signed || this.#completed.has(owner)) throw invalid('the session’s recordings are complete');
  }

  /** Undefined when the connection names none. */
  #configMapOf({ namespace, connection }: RecordingOwner): string | undefined {
    const id = `${namespace}/${connection}`;
    const object = this.#kube.stores.connections.get(namespace, connection);
    if (object === undefined) {
      const known = this.#configMaps.get(id);
      if (known === undefined) throw new RecordingsError('unavailable', `there is no connection ${id}`);
      return known;
    }
    const parsed = readConnection(object);
    if (parsed.kind === 'invalid') throw new RecordingsError('misconfigured', `connection ${id} is wrong`);
    const name = parsed.value.spec.recording.configMapRef?.name;
    if (name === undefined) this.#configMaps.delete(id);
    else this.#configMaps.set(id, name);
    return name;
  }

  async #bucket(owner: RecordingOwner): Promise<Bucket | undefined> {
    const configMap = this.#configMapOf(owner);
    return configMap === undefined ? undefined : this.places.bucket(owner.namespace, configMap);
  }

  async #target(file: SpooledFile): Promise<{ readonly bucket: Bucket; readonly key: string }> {
    const bucket = await this.#bucket(file.owner);
    if (bucket === undefined)
      throw new RecordingsError('misconfigured', 'the connection names no store any more');
    return { bucket, key: keyOf(bucket, file) };
  }
}

/** Sessions whose list was just signed, until their own status says so. */
class Completed {
  readonly #sessions = new Set<string>();

  add({ namespace, session }: RecordingOwner): void {
    this.#sessions.add(`${namespace}/${session}`);
    const [oldest] = this.#sessions;
    if (this.#sessions.size > 4096 && oldest !== undefined) this.#sessions.delete(oldest);
  }

  has({ namespace, session }: RecordingOwner): boolean {
    return this.#sessions.has(`${namespace}/${session}`);
  }
}

const NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Names become folders: they are names of objects and nothing else. */
function checkOwner(owner: RecordingOwner): RecordingOwner {
  const { namespace, connection, session } = owner;
  if (![namespace, connection, session].every((name) => NAME.test(name)))
    throw invalid('not a name of an object');
  return owner;
}

function checkFile({ recording, file, bytes, digest }: UploadRequest): void {
  if (!isSessionId(recording)) throw invalid('not the id of a recording');
  if (!isFinished(file)) throw invalid('not a file that a recording has');
  if (bytes > (isDocument(file) ? MAX_DOCUMENT : MAX_SEGMENT)) throw invalid('the file is over its cap');
  if (!/^[\w-]{43}$/.test(digest)) throw invalid('not a SHA-256 digest');
}

function keyOf({ place }: Bucket, { owner, recording, file }: SpooledFile): string {
  return `${sessionPrefix(place.prefix, checkOwner(owner))}${recording}/${file}`;
}

/** Without the slash at its end. */
function locationOf({ place }: Bucket, folder: string): string {
  return `s3://${place.bucket}/${folder.slice(0, -1)}`;
}

function invalid(message: string): RecordingsError {
  return new RecordingsError('invalid', message);
}
