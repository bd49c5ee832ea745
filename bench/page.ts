/** `docs/bench.md`: the table between two marks is renewed, the words around it are people's. */
import { readFile, writeFile } from 'node:fs/promises';

const BEGIN = '<!-- bench: renewed by `node bench/main.ts --write` -->';
const END = '<!-- bench: end -->';

/** Puts `content` between the marks of a page. Throws when a page has lost them. */
export function renew(page: string, content: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`the page has no "${BEGIN}" … "${END}"`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${content}\n\n${page.slice(end)}`;
}

export async function writePage(path: string, content: string): Promise<void> {
  await writeFile(path, renew(await readFile(path, 'utf8'), content));
}
