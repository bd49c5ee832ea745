/** What came back, in a form in which two servers' answers can be compared: without keys, oids and places in source files. */
import { fieldsOf, rowOf, type Frontend, type Message } from './frontend.ts';

const FIRST_USER_OID = 16384;

function layoutOf(body: Buffer): string {
  const columns: string[] = [];
  let at = 2;
  for (let left = body.readInt16BE(0); left > 0; left--) {
    const end = body.indexOf(0, at);
    const name = body.toString('utf8', at, end);
    const table = body.readUInt32BE(end + 1);
    const rest = body.subarray(end + 5, end + 19).toString('hex');
    columns.push(`${name}/${table >= FIRST_USER_OID ? 'user' : table}/${rest}`);
    at = end + 19;
  }
  return columns.join(' ');
}

export function lineOf(message: Message): string {
  const { tag, body } = message;
  switch (tag) {
    case 'E':
    case 'N': {
      const { S, C, M, P, D, H } = fieldsOf(message);
      return `${tag} ${[S, C, M, P, D, H].filter((field) => field !== undefined).join(' | ')}`;
    }
    case 'D':
      return `D ${rowOf(message).join(',')}`;
    case 'T':
      return `T ${layoutOf(body)}`;
    case 'A':
      return `A ${body.toString('latin1', 4)}`;
    default:
      return `${tag} ${body.toString('latin1')}`;
  }
}

/** All that comes to the row `the end` and its ReadyForQuery, or to the end of the connection. */
export async function transcript(client: Frontend): Promise<readonly string[]> {
  const messages = [
    ...(await client.until(({ tag, body }) => tag === 'D' && body.includes('the end'))),
    ...(await client.ready()),
  ];
  return outOfTurn([...messages.map(lineOf), ...(client.closed ? ['closed'] : [])]);
}

const NO_COPY_MESSAGE =
  /^E (?:ERROR|FATAL) \| 08P01 \| (?:unexpected message type .* during COPY|protocol violation: .* during COPY)/;

/** A message that cannot be in a COPY ends both connections: the server says so in two errors, and what comes before may be cut. */
function outOfTurn(lines: readonly string[]): readonly string[] {
  const at = lines.findIndex((line) => NO_COPY_MESSAGE.test(line));
  return at < 0 || lines.at(-1) !== 'closed'
    ? lines
    : [...lines.slice(0, at), 'a message out of turn', 'closed'];
}
