/** The operator's signature on recordings: Ed25519. */

export interface RecordingSigner {
  /** SHA-256 of the public key (SPKI, DER), base64url. */
  readonly keyId: string;
  sign(bytes: Uint8Array): Uint8Array;
}
