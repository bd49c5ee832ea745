/**
 * The object store that a connection's ConfigMap names, and the Secret with its credentials. Both lie in the connection's
 * namespace.
 *
 * | key of the ConfigMap | value |
 * |---|---|
 * | endpoint          | `https://host[:port]` of an S3 API |
 * | bucket            | its name |
 * | credentialsSecret | name of a Secret with the keys `accessKeyId` and `secretAccessKey` |
 * | region            | `us-east-1` unless told |
 * | prefix            | folders before all keys, `recordings/prod`; none unless told |
 * | retention         | days that nothing can be deleted, `90d`; needs a bucket with Object Lock |
 * | lockMode          | `Governance`, `Compliance` or `None`; `Governance` when there is a retention, else `None` |
 * | pathStyle         | `true`: `endpoint/bucket/key`, the default; `false`: `bucket.endpoint/key` |
 * | ca                | CA certificates (PEM) of the endpoint; the system's own unless told |
 * | transport         | `Tls`, or `Plaintext`, without which an `http://` endpoint is refused |
 */
import { X509Certificate } from 'node:crypto';
import type { Parsed } from '../../../crds/schema/failure.ts';
import { parse } from '../../../crds/schema/parse.ts';
import { objectName } from '../../../crds/schema/reference.ts';
import { choice, defaulted, object, optional, required, text } from '../../../crds/schema/schema.ts';

export type LockMode = 'Governance' | 'Compliance' | 'None';

export interface ObjectStorePlace {
  /** No slash at its end. */
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  /** Without slashes at its ends; empty for none. */
  readonly prefix: string;
  readonly lockMode: LockMode;
  /** Days; undefined exactly when `lockMode` is `None`. */
  readonly retention: number | undefined;
  readonly pathStyle: boolean;
  /** PEM. */
  readonly ca: string | undefined;
  /** Name of the Secret, in the ConfigMap's namespace. */
  readonly credentialsSecret: string;
}

export interface StoreCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

const placeSchema = object(
  'Where recordings go.',
  {
    endpoint: required(
      text('The S3 API.', {
        maxLength: 512,
        pattern: '^https?://(([A-Za-z0-9.-]+)|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?/?$',
        patternMessage: 'must be https://host or https://host:port, with no path',
        refine: (value) => (URL.canParse(value) ? null : 'must be a URL'),
      }),
    ),
    bucket: required(
      text('The bucket.', {
        minLength: 3,
        maxLength: 63,
        pattern: '^[a-z0-9]([a-z0-9.-]*[a-z0-9])$',
        patternMessage: 'must be lower-case letters, digits, "-" and "."',
      }),
    ),
    credentialsSecret: required(objectName('The Secret.')),
    region: defaulted(
      text('The region.', {
        maxLength: 64,
        pattern: '^[a-z0-9][a-z0-9-]*$',
        patternMessage: 'must be lower-case letters, digits and "-"',
      }),
      'us-east-1',
    ),
    prefix: defaulted(
      text('Before all keys.', {
        maxLength: 256,
        pattern: '^([A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*)?$',
        patternMessage: 'must be names of letters, digits, "-", "_" and ".", with "/" only between them',
      }),
      '',
    ),
    retention: optional(
      text('How long nothing can be deleted.', {
        maxLength: 6,
        pattern: '^[1-9][0-9]{0,4}d$',
        patternMessage: 'must be a number of days such as 90d',
      }),
    ),
    lockMode: optional(choice('How the retention is locked.', ['Governance', 'Compliance', 'None'])),
    pathStyle: defaulted(choice('Where the bucket stands.', ['true', 'false']), 'true'),
    ca: optional(text('CA certificates.', { maxLength: 262_144, refine: checkCertificates })),
    transport: defaulted(choice('Whether plain text will do.', ['Tls', 'Plaintext']), 'Tls'),
  },
  [
    {
      rule: "self.endpoint.startsWith('https://') == (self.transport == 'Tls')",
      message: 'an http:// endpoint needs transport: Plaintext, and only that: recordings go in the clear',
      field: 'endpoint',
    },
    {
      rule: "!has(self.lockMode) || (self.lockMode == 'None') != has(self.retention)",
      message: 'Governance and Compliance need a retention; with None there can be none',
      field: 'lockMode',
    },
    {
      rule: "!has(self.ca) || self.transport == 'Tls'",
      message: 'means nothing without TLS',
      field: 'ca',
    },
  ],
);

const credential = (description: string) =>
  text(description, {
    minLength: 1,
    maxLength: 512,
    pattern: '^[\\x21-\\x7e]+$',
    patternMessage: 'must be printable ASCII without blanks',
  });

const credentialsSchema = object('What to sign in to the store with.', {
  accessKeyId: required(credential('Who.')),
  secretAccessKey: required(credential('Its secret.')),
});

/** `data` of the ConfigMap in, the place or all errors out. */
export function parseObjectStorePlace(
  data: Readonly<Record<string, string>> | ReadonlyMap<string, string>,
): Parsed<ObjectStorePlace> {
  const parsed = parse(placeSchema, plain(data));
  if (parsed.kind === 'invalid') return parsed;
  const { endpoint, bucket, region, prefix, retention, lockMode, pathStyle, ca, credentialsSecret } =
    parsed.value;
  return {
    kind: 'parsed',
    value: {
      endpoint: endpoint.replace(/\/$/, ''),
      bucket,
      region,
      prefix,
      lockMode: lockMode ?? (retention === undefined ? 'None' : 'Governance'),
      retention: retention === undefined ? undefined : Number(retention.slice(0, -1)),
      pathStyle: pathStyle === 'true',
      ca,
      credentialsSecret,
    },
  };
}

/** Decoded `data` of the Secret in, the credentials or all errors out; no error says a value. Other keys are let be. */
export function parseStoreCredentials(
  data: Readonly<Record<string, Uint8Array>> | ReadonlyMap<string, Uint8Array>,
): Parsed<StoreCredentials> {
  const all = new Map<string, Uint8Array>(data instanceof Map ? data : Object.entries(data));
  const known = ['accessKeyId', 'secretAccessKey'].flatMap((name) => {
    const value = all.get(name);
    // A line feed at the end is what `echo` and editors leave.
    return value === undefined
      ? []
      : [
          [
            name,
            Buffer.from(value)
              .toString('latin1')
              .replace(/\r?\n$/, ''),
          ],
        ];
  });
  return parse(credentialsSchema, Object.fromEntries(known));
}

function plain(data: Readonly<Record<string, string>> | ReadonlyMap<string, string>): unknown {
  return data instanceof Map ? Object.fromEntries<unknown>(data) : data;
}

function checkCertificates(pem: string): string | null {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) return 'must be certificates in PEM form';
  try {
    for (const block of blocks) new X509Certificate(block);
    return null;
  } catch {
    return 'has a certificate that cannot be read';
  }
}
