/** Parts of a moment in a named time zone, for rules such as "only in office hours". */

interface CivilTime {
  readonly year: number;
  /** 0–11, as CEL counts. */
  readonly month: number;
  /** 1–31. */
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  /** 0 is Sunday. */
  readonly weekday: number;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(zone: string): Intl.DateTimeFormat | undefined {
  const known = formats.get(zone);
  if (known !== undefined) return known;
  try {
    const made = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    formats.set(zone, made);
    return made;
  } catch {
    return undefined;
  }
}

/** Zones come from rules, as literals, so their number is bounded by the policies' text. */
export function isTimeZone(zone: string): boolean {
  return formatOf(zone) !== undefined;
}

function civil(at: Date, zone: string): CivilTime {
  const format = formatOf(zone);
  if (format === undefined) throw new RangeError('unknown time zone');
  const parts = new Map(format.formatToParts(at).map((part) => [part.type, Number(part.value)]));
  const year = parts.get('year') ?? Number.NaN;
  const month = (parts.get('month') ?? Number.NaN) - 1;
  const day = parts.get('day') ?? Number.NaN;
  return {
    year,
    month,
    day,
    hour: parts.get('hour') ?? Number.NaN,
    minute: parts.get('minute') ?? Number.NaN,
    second: parts.get('second') ?? Number.NaN,
    weekday: new Date(Date.UTC(year, month, day)).getUTCDay(),
  };
}

const DAY = 86_400_000;

function dayOfYear(time: CivilTime): number {
  return Math.round((Date.UTC(time.year, time.month, time.day) - Date.UTC(time.year, 0, 1)) / DAY);
}

const PARTS = {
  getFullYear: (time) => time.year,
  getMonth: (time) => time.month,
  getDate: (time) => time.day,
  getDayOfMonth: (time) => time.day - 1,
  getDayOfWeek: (time) => time.weekday,
  getDayOfYear: dayOfYear,
  getHours: (time) => time.hour,
  getMinutes: (time) => time.minute,
  getSeconds: (time) => time.second,
} as const satisfies Record<string, (time: CivilTime) => number>;

export type ZonedPart = keyof typeof PARTS;
// Object.keys gives string[], and these are the keys.
export const ZONED_PARTS = Object.keys(PARTS) as readonly ZonedPart[];

/** One part of `at` in `zone` (an IANA name or an offset such as `+02:00`). Throws RangeError for an unknown zone. */
export function zonedPart(part: ZonedPart, at: Date, zone: string): bigint {
  return BigInt(PARTS[part](civil(at, zone)));
}
