/**
 * A page of the documentation as something to run. A comment before a fenced block, which readers don't see, says what
 * the block is:
 *
 *     <!-- run -->                     commands; they must succeed
 *     <!-- run: exits 1 -->            they must end with this exit code
 *     <!-- run: until "ready" -->      they go on in the background; the page goes on when they have printed this
 *     <!-- not run: why -->            commands that a test cannot run
 *     <!-- file: path -->              a file that the commands after it find
 *     <!-- output -->                  what the commands before it print: each line, `…` standing for anything
 *
 * Each block of commands (`sh`) has one of the first four.
 */
export type Block =
  | { readonly kind: 'run'; readonly text: string; readonly line: number; readonly exits: number }
  | { readonly kind: 'background'; readonly text: string; readonly line: number; readonly until: string }
  | { readonly kind: 'not-run'; readonly text: string; readonly line: number; readonly why: string }
  | { readonly kind: 'file'; readonly text: string; readonly line: number; readonly path: string }
  | { readonly kind: 'output'; readonly text: string; readonly line: number };

const FENCE = /^```(\w*)$/;
const COMMENT = /^<!-- (.*) -->$/;

/** Throws when a block of commands is not marked, or a mark is none. */
export function readPage(page: string): readonly Block[] {
  const blocks: Block[] = [];
  const lines = page.split('\n');
  let mark = '';
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? '';
    const language = FENCE.exec(line)?.[1];
    if (language === undefined) {
      mark = COMMENT.exec(line)?.[1] ?? (line === '' ? mark : '');
      continue;
    }
    const end = lines.indexOf('```', at + 1);
    if (end < 0) throw new Error(`line ${at + 1}: the block has no end`);
    const block = blockOf(mark, lines.slice(at + 1, end).join('\n'), at + 1);
    if (block !== undefined) blocks.push(block);
    else if (language === 'sh') throw new Error(`line ${at + 1}: the commands are not marked: "${mark}"`);
    at = end;
    mark = '';
  }
  return blocks;
}

function blockOf(mark: string, text: string, line: number): Block | undefined {
  const [word] = mark.split(':', 1);
  const rest = mark.slice(mark.indexOf(':') + 1).trim();
  switch (word) {
    case 'run':
      return runOf(mark, rest, text, line);
    case 'not run':
      return { kind: 'not-run', text, line, why: rest };
    case 'file':
      return { kind: 'file', text, line, path: rest };
    case 'output':
      return { kind: 'output', text, line };
    default:
      return undefined;
  }
}

function runOf(mark: string, rest: string, text: string, line: number): Block {
  if (mark === 'run') return { kind: 'run', text, line, exits: 0 };
  const exits = /^exits (\d+)$/.exec(rest)?.[1];
  if (exits !== undefined) return { kind: 'run', text, line, exits: Number(exits) };
  const until = /^until "(.+)"$/.exec(rest)?.[1];
  if (until !== undefined) return { kind: 'background', text, line, until };
  throw new Error(`line ${line}: what is "${mark}"?`);
}

/** The lines of a block of output that are not in what was printed; `…` stands for anything. */
export function missingLines(wanted: string, printed: string): readonly string[] {
  const lines = printed.split('\n').map((line) => line.trimEnd());
  return wanted
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => !['', '…'].includes(line.trim()) && !lines.some((one) => matches(line, one)));
}

function matches(wanted: string, line: string): boolean {
  const parts = wanted.split('…').map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 'u').test(line);
}
