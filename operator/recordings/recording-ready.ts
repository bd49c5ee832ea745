/** Whether sessions of a connection could be recorded: its condition `RecordingReady`. */
import type { ConnectionReason } from '../../crds/connection.ts';
import { guarded, RecordingsError } from './recordings-error.ts';
import type { Places } from './places.ts';

export type RecordingReady =
  | { readonly kind: 'ready'; readonly message: string }
  | {
      readonly kind: 'not-ready';
      readonly reason: Extract<ConnectionReason, 'RecordingMisconfigured' | 'RecordingUnreachable'>;
      /** For people; no secret in it. */
      readonly message: string;
    };

/**
 * Reads the ConfigMap and its Secret, and asks the store for the bucket and for Object Lock where that is asked for. Takes as long as
 * the store's timeouts (some 30 s) when it does not answer. Never rejects but for a fault of ours.
 */
export async function recordingReady(
  places: Places,
  namespace: string,
  configMap: string,
): Promise<RecordingReady> {
  try {
    const bucket = await places.bucket(namespace, configMap);
    await guarded(() => bucket.check());
    const { place } = bucket;
    const lock =
      place.retention === undefined ? 'no lock' : `${place.lockMode} lock for ${place.retention} days`;
    return { kind: 'ready', message: `bucket ${place.bucket} is there, ${lock}` };
  } catch (error) {
    if (!(error instanceof RecordingsError)) throw error;
    const reason = error.code === 'unavailable' ? 'RecordingUnreachable' : 'RecordingMisconfigured';
    return { kind: 'not-ready', reason, message: error.message };
  }
}
