/** How the `recordings` commands print. */
import { once } from 'node:events';
import { styleText } from 'node:util';
import type { RuleRef } from '../sidecar/operation.ts';

type Style = 'green' | 'red' | 'yellow' | 'cyan' | 'dim' | 'bold';

export type Paint = (style: Style, text: string) => string;

/** Styled when standard output is a terminal and NO_COLOR is not set. */
export const paint: Paint = (style, text) => styleText(style, text, { stream: process.stdout });

export const plain: Paint = (_style, text) => text;

/** Waits while the reader is slow, so that no recording has to fit into memory. */
export async function out(text: string, stream: NodeJS.WritableStream = process.stdout): Promise<void> {
  if (!stream.write(text)) await once(stream, 'drain');
}

/** Local time as `2026-11-21 11:25:04`; `at` in ms. */
export function dateTime(at: number): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return 'no time';
  return date.toISOString().slice(0, 19).replace('T', ' ');
}

/** `11:25:04.123`; `at` in µs. */
export function clockTime(at: number): string {
  const date = new Date(at / 1000);
  return Number.isNaN(date.getTime()) ? 'no time' : date.toISOString().slice(11, 23);
}

/** Of µs. */
export function duration(microseconds: number): string {
  const ms = microseconds / 1000;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${Math.floor(seconds % 60)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function byteSize(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

export interface Progress {
  /** Replaces what was said before. */
  say(text: string): void;
  end(): void;
}

/** A line on standard error that is written over, when somebody looks at it. */
export function progress(): Progress {
  const { stderr } = process;
  if (!stderr.isTTY) return { say: () => undefined, end: () => undefined };
  let said = 0;
  let at = 0;
  return {
    say: (text) => {
      if (performance.now() - at < 100) return;
      at = performance.now();
      said = text.length;
      stderr.write(`\r\x1b[2K${text}`);
    },
    end: () => {
      if (said > 0) stderr.write('\r\x1b[2K');
    },
  };
}

export function plural(count: number, one: string): string {
  return `${count} ${count === 1 ? one : `${one}s`}`;
}

export function ruleNames(rules: readonly RuleRef[]): string {
  return rules.map(({ policy, rule }) => `${policy}/${rule}`).join(', ');
}
