/** What the operator puts its signature to: only a header, head or manifest of the very recording, in its one form. */
import {
  MAX_DOCUMENT,
  readHead,
  readHeader,
  readManifest,
  segmentName,
  type Head,
  type Header,
  type Manifest,
} from '../../sidecar/record/documents.ts';
import { jsonText } from '../../sidecar/record/json-text.ts';
import { RecordingError } from '../../sidecar/record/recording-error.ts';
import { parseJson } from '../../sidecar/record/sealed.ts';
import { isSessionId } from '../../sidecar/record/session-id.ts';
import { byKind } from '../../sidecar/record/shape.ts';
import { RecordingsError } from './recordings-error.ts';
import type { RecordedRun, RecordingOwner } from './recordings.ts';

const readDocument = byKind<Header | Head | Manifest>({
  header: readHeader,
  head: readHead,
  manifest: readManifest,
});

const HASH = /^[\w-]{43}$/;

/** Throws a `RecordingsError`, code `invalid`. */
export function checkPayload(
  owner: RecordingOwner,
  recording: string,
  payload: string,
  run: RecordedRun,
): void {
  const document = parseDocument(payload);
  if (!isSessionId(recording) || document.session !== recording)
    throw invalid('the document is of another recording');
  switch (document.kind) {
    case 'header': {
      const { namespace, name } = document.connection;
      if (namespace !== owner.namespace || name !== owner.connection)
        throw invalid('the header names another connection');
      if (!isWho(document.who, run)) throw invalid('the header names somebody else');
      return;
    }
    case 'head':
      if (document.segment < 1 || document.file !== `${segmentName(document.segment)}.jsonl.zst`)
        throw invalid('the head names another file than its segment’s');
      if (![document.previous, document.digest, document.fileDigest].every((hash) => HASH.test(hash)))
        throw invalid('the head has a hash that is none');
      return;
    case 'manifest':
      if (document.segments.some(({ segment }, index) => segment !== index + 1))
        throw invalid('the manifest does not name its segments in order');
  }
}

/** In a pod nobody speaks but the run itself. */
function isWho(who: Header['who'], { issuer, subject, username }: RecordedRun): boolean {
  return who.issuer === issuer && who.subject === subject && who.username === username;
}

function parseDocument(payload: string): Header | Head | Manifest {
  if (Buffer.byteLength(payload) > MAX_DOCUMENT) throw invalid('the document is over its cap');
  try {
    const json = parseJson(payload, 'the document');
    const document = readDocument(json, 'document');
    // In its one form: no field twice, which readers could see differently.
    if (sameText(json, payload)) return document;
  } catch (error) {
    if (error instanceof RecordingError) throw invalid(error.message);
    throw error;
  }
  throw invalid('the document is not written as ours are');
}

function sameText(json: unknown, payload: string): boolean {
  return typeof json === 'object' && json !== null && jsonText(json) === payload;
}

function invalid(message: string): RecordingsError {
  return new RecordingsError('invalid', message);
}
