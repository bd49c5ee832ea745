/** Recordings of a run: into the state folder first, counted for the operator, and from there to the store. */
import type { OpenRecording } from '../enforcement.ts';
import type { SidecarMetrics } from '../metrics.ts';
import type { Durability, RecordingEvent } from '../record/event.ts';
import { RecordingError } from '../record/recording-error.ts';
import type { SessionRecorder } from '../record/recorder.ts';
import type { Uploads } from '../uploads.ts';
import type { SessionCounts } from './session-counts.ts';

export interface RunRecordings {
  readonly counts: SessionCounts;
  readonly uploads: Uploads;
  readonly metrics: SidecarMetrics;
}

export function recordRun(open: OpenRecording, { counts, uploads, metrics }: RunRecordings): OpenRecording {
  return async (config, header, onFailure) => {
    const connection = `${config.facts.namespace}/${config.facts.name}`;
    if (config.recording.durability === 'strict' && uploads.full)
      throw new RecordingError('backlog', 'the spool is full');
    const recorder = await open(config, header, (error) => {
      metrics.recordingFailed(connection);
      onFailure(error);
    });
    try {
      await counts.recorded(connection);
    } catch (cause) {
      await recorder.close('it could not be counted').catch(() => undefined);
      throw new RecordingError('store', 'the recording could not be counted', cause);
    }
    uploads.session(connection, recorder.session);
    return new RunRecorder(metrics.observe(recorder, connection), connection, counts, uploads);
  };
}

class RunRecorder implements SessionRecorder {
  readonly session: string;
  readonly durability: Durability;
  readonly #recorder: SessionRecorder;
  readonly #connection: string;
  readonly #counts: SessionCounts;
  readonly #uploads: Uploads;

  constructor(recorder: SessionRecorder, connection: string, counts: SessionCounts, uploads: Uploads) {
    this.session = recorder.session;
    this.durability = recorder.durability;
    this.#recorder = recorder;
    this.#connection = connection;
    this.#counts = counts;
    this.#uploads = uploads;
  }

  /** While the spool is full, `strict` counts as failed; unlike other failures that one can pass. */
  get failed(): boolean {
    return this.#recorder.failed || (this.durability === 'strict' && this.#uploads.full);
  }

  append(event: RecordingEvent): void {
    if (event.kind === 'decision') this.#counts.decided(this.#connection, event);
    this.#recorder.append(event);
  }

  durable(): Promise<void> | undefined {
    return this.#recorder.durable();
  }

  close(reason: string): Promise<{ readonly digest: string }> {
    return this.#recorder.close(reason);
  }
}
