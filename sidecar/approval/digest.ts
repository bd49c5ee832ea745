/** The digest that binds a permit to one exact operation: what was decided is what runs (THREATS.md, class 37). */
import { hash } from 'node:crypto';

/** One Bind value as the client sent it. */
export interface DigestParameter {
  /** The type's oid, 0 when the client named none. */
  readonly type: number;
  readonly format: 'text' | 'binary';
  /** Raw bytes; null is SQL NULL. */
  readonly value: Uint8Array | null;
}

/** All that makes an operation this one and no other. */
export interface OperationParts {
  readonly connection: { readonly namespace: string; readonly name: string };
  readonly session: string;
  readonly identity: { readonly issuer: string; readonly subject: string };
  /** The exact text that is sent. */
  readonly text: string;
  readonly parameters: readonly DigestParameter[];
  readonly role: string;
  readonly searchPath: readonly string[];
  readonly transaction: 'idle' | 'open' | 'failed';
}

/**
 * `sha256:` and 64 hexadecimal digits, over a JSON array of fixed positions. JSON quotes every string and escapes
 * lone surrogates, so that two different operations never have the same encoding. Some microseconds for a short text.
 */
export function operationDigest(parts: OperationParts): string {
  return sha256(canonicalOperation(parts));
}

/** The encoding that is digested; two operations have the same one only if all their parts are equal. */
export function canonicalOperation(parts: OperationParts): string {
  return JSON.stringify([
    'sidewarden.dev/operation/v1',
    parts.connection.namespace,
    parts.connection.name,
    parts.session,
    parts.identity.issuer,
    parts.identity.subject,
    parts.text,
    parts.parameters.map(({ type, format, value }) => [type, format, value === null ? null : base64(value)]),
    parts.role,
    parts.searchPath,
    parts.transaction,
  ]);
}

export function sha256(text: string): string {
  return `sha256:${hash('sha256', text, 'hex')}`;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
