/** The contract of a scanner for one kind of sensitive text. */
import type { Detector } from '../mask.ts';
import type { Text } from './bytes.ts';

/** Where a scanner found something: positions in the text's bytes, `end` after the last. */
export interface Found {
  start: number;
  end: number;
  /** Set by a scanner that found nothing: it need not be asked again before this position. */
  resume: number;
}

export interface Scanner {
  readonly detector: Detector;
  /** Bytes (ASCII) at which to ask it. */
  readonly triggers: string;
  /**
   * Whether something starts, or for marks in the middle of it lies, at this position. It must look at a bounded number of
   * bytes, or at each byte a bounded number of times over a whole text.
   */
  match(text: Text, position: number, found: Found): boolean;
}

export const DIGITS = '0123456789';
