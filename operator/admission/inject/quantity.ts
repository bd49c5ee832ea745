/** Kubernetes quantities: the API server writes them in its own way, `1000m` as `1`. */

const QUANTITY = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d{1,3})|([munkMGTPE]|[KMGTPE]i))?$/u;
const FACTORS: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** Equal as numbers; what is no quantity equals only itself. */
export function sameQuantity(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  const left = valueOf(a);
  const right = valueOf(b);
  if (left === undefined || right === undefined) return false;
  return Math.abs(left - right) <= Math.max(Math.abs(left), Math.abs(right)) * 1e-12;
}

/** Undefined when it is no quantity. */
function valueOf(quantity: unknown): number | undefined {
  if (typeof quantity === 'number') return quantity;
  if (typeof quantity !== 'string') return undefined;
  const [, number, exponent = '', suffix] = QUANTITY.exec(quantity) ?? [];
  if (number === undefined) return undefined;
  return Number(`${number}${exponent}`) * (suffix === undefined ? 1 : (FACTORS[suffix] ?? Number.NaN));
}

/** Whole bytes; undefined when it is no quantity, or more than can be counted exactly. */
export function bytesOf(quantity: string): number | undefined {
  const bytes = Math.floor(valueOf(quantity) ?? Number.NaN);
  return Number.isSafeInteger(bytes) && bytes >= 0 ? bytes : undefined;
}
