/** Time that only goes forward, and what is done later; tests bring their own. */

export interface Clock {
  /** Milliseconds since some moment. */
  now(): number;
  /** Calls once, after so many milliseconds; returns how to call it off. */
  later(milliseconds: number, call: () => void): () => void;
}

/** Longer delays would be taken for none by timers. */
const MOST_MS = 2_147_483_647;

export const systemClock: Clock = {
  now: () => performance.now(),
  later: (milliseconds, call) => {
    const timer = setTimeout(call, Math.min(Math.max(0, milliseconds), MOST_MS));
    return () => clearTimeout(timer);
  },
};
