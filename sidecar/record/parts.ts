/** Contents as streams of parts. */

export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** The same parts, each shown to `see` as it comes by. */
export async function* observed<Part extends Uint8Array>(
  source: AsyncIterable<Part>,
  see: (part: Part) => void,
): AsyncGenerator<Part> {
  for await (const part of source) {
    see(part);
    yield part;
  }
}
