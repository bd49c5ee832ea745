/** Reading PostgreSQL's syntax tree. */
import type { DefElem, Node, TypeName } from '@pgsql/types';

/** The kind of a node: its only key. */
export function tagOf(node: Node): string {
  for (const tag in node) return tag;
  return '';
}

/** The text of String nodes; others are left out. */
export function strings(nodes: readonly Node[] | undefined): string[] {
  const texts: string[] = [];
  for (const node of nodes ?? []) if ('String' in node) texts.push(node.String.sval ?? '');
  return texts;
}

/** A name with an optional schema; a database in front of it is left away. */
export function qualifiedName(nodes: readonly Node[] | undefined): { schema: string | null; name: string } {
  const parts = strings(nodes);
  return { schema: parts.at(-2) ?? null, name: parts.at(-1) ?? '' };
}

/** An option's value as PostgreSQL reads it: a name, a number or a list of those is one text. */
export function optionText(element: DefElem): string | null {
  const { arg } = element;
  if (arg === undefined) return null;
  if ('String' in arg) return arg.String.sval ?? '';
  if ('Integer' in arg) return String(arg.Integer.ival ?? 0);
  if ('Float' in arg) return arg.Float.fval ?? '';
  if ('Boolean' in arg) return arg.Boolean.boolval === true ? 'true' : 'false';
  if ('A_Const' in arg) return constantText(arg);
  if ('TypeName' in arg) return typeText(arg.TypeName);
  return '';
}

function typeText(type: TypeName): string {
  return strings(type.names).at(-1) ?? '';
}

/** As `defGetBoolean` reads it; anything else counts as true, the more dangerous of both. */
export function optionIsOn(element: DefElem): boolean {
  const text = optionText(element)?.toLowerCase();
  return !(text === 'false' || text === 'off' || text === '0');
}

export function options(nodes: readonly Node[] | undefined): DefElem[] {
  const elements: DefElem[] = [];
  for (const node of nodes ?? []) if ('DefElem' in node) elements.push(node.DefElem);
  return elements;
}

/** The literal's text, null for NULL and for what is no literal. */
export function constantText(node: Node): string | null {
  if (!('A_Const' in node)) return null;
  const { ival, fval, boolval, sval, bsval } = node.A_Const;
  if (sval) return sval.sval ?? '';
  if (ival) return String(ival.ival ?? 0);
  if (fval) return fval.fval ?? '';
  if (boolval) return boolval.boolval === true ? 'true' : 'false';
  if (bsval) return bsval.bsval ?? '';
  return null;
}
