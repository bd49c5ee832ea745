/** PostgreSQL's scanner tokens, with offsets in characters of the text and told apart by how they begin. */

export interface Token {
  readonly kind: 'word' | 'identifier' | 'literal' | 'parameter' | 'comment' | 'other';
  /** As written; `word`s in lower case. */
  readonly text: string;
  /** UTF-16 offsets. */
  readonly start: number;
  readonly end: number;
}

interface ScannedToken {
  /** Bytes of UTF-8. */
  readonly start: number;
  readonly end: number;
}

export function tokensOf(text: string, scanned: readonly ScannedToken[]): readonly Token[] {
  const offsets = characterOffsets(text);
  return scanned.map(({ start, end }) => {
    const from = offsets(start);
    const to = offsets(end);
    const written = text.slice(from, to);
    const kind = kindOf(written);
    return { kind, text: kind === 'word' ? written.toLowerCase() : written, start: from, end: to };
  });
}

export function kindOf(written: string): Token['kind'] {
  if (/^(?:[ebxn]?'|u&')/i.test(written) || /^\$(?:[^\d$][^$]*)?\$/.test(written)) return 'literal';
  if (/^\$\d/.test(written)) return 'parameter';
  if (written.startsWith('--') || written.startsWith('/*')) return 'comment';
  if (/^(?:u&)?"/i.test(written)) return 'identifier';
  if (/^[a-z_\u0080-\uffff]/i.test(written)) return 'word';
  return 'other';
}

/** Byte offsets come in rising order, so one walk over the text serves them all. */
function characterOffsets(text: string): (byte: number) => number {
  let bytes = 0;
  let characters = 0;
  return (byte) => {
    if (byte < bytes) {
      bytes = 0;
      characters = 0;
    }
    while (bytes < byte && characters < text.length) {
      const code = text.codePointAt(characters) ?? 0;
      bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
      characters += code < 0x10000 ? 1 : 2;
    }
    return characters;
  };
}

/** What a literal stands for, near enough to be looked at: without its quotes, doubled quotes made one. */
export function literalContent(token: Token): { readonly content: string; readonly dollar: string | null } {
  const dollar = /^\$(?:[^\d$][^$]*)?\$/.exec(token.text)?.[0];
  if (dollar !== undefined) return { content: token.text.slice(dollar.length, -dollar.length), dollar };
  const content = token.text.slice(token.text.indexOf("'") + 1, -1).replaceAll("''", "'");
  return { content, dollar: null };
}

/** The name that an identifier or word stands for. */
export function nameOf(token: Token): string {
  if (token.kind !== 'identifier') return token.text;
  return token.text.slice(token.text.indexOf('"') + 1, -1).replaceAll('""', '"');
}
