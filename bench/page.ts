/** `docs/bench.md`: the tables between two marks each are renewed, the words around them are people's. */
import { readFile, writeFile } from 'node:fs/promises';

export interface Marks {
  readonly begin: string;
  readonly end: string;
}

export const proxyMarks: Marks = {
  begin: '<!-- bench: renewed by `node bench/main.ts --write` -->',
  end: '<!-- bench: end -->',
};
export const clusterMarks: Marks = {
  begin: '<!-- bench of the cluster: renewed by `node bench/main.ts cluster --write` -->',
  end: '<!-- bench of the cluster: end -->',
};

/** Puts `content` between the marks of a page. Throws when a page has lost them. */
export function renew(page: string, content: string, marks = proxyMarks): string {
  const [begin, end] = [page.indexOf(marks.begin), page.indexOf(marks.end)];
  if (begin < 0 || end < begin) throw new Error(`the page has no "${marks.begin}" … "${marks.end}"`);
  return `${page.slice(0, begin + marks.begin.length)}\n\n${content}\n\n${page.slice(end)}`;
}

export async function writePage(path: string, content: string, marks: Marks): Promise<void> {
  await writeFile(path, renew(await readFile(path, 'utf8'), content, marks));
}
