/** What the formats of COPY have in common: rows that end somewhere, and are masked when they are whole. */
import type { FrameWriter } from './frame-writer.ts';

export const COPY_DATA = 0x64;

/** Where the search for a row's end stopped, so that it goes on when more has come. */
export interface RowSearch {
  /** Bytes of the row that were looked at. */
  offset: number;
  quoted: boolean;
  escaped: boolean;
}

export interface CopyFormat {
  /** Position after the row that starts at `start`; -1 when it ends after `end`. Throws RowError. */
  rowEnd(buffer: Buffer, start: number, end: number, search: RowSearch): number;
  /** Writes one whole row as a CopyData frame; returns how many values detectors found. Throws RowError. */
  mask(buffer: Buffer, start: number, end: number, out: FrameWriter): number;
  /** Throws RowError when the data must not end here. */
  end(): void;
}
