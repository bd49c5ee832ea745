/** Files of policy tests: their schema, and reading them. */
import { dirname, resolve } from 'node:path';
import { objectName, namespaceName } from '../crds/schema/reference.ts';
import { parse } from '../crds/schema/parse.ts';
import {
  boolean,
  choice,
  defaulted,
  free,
  integer,
  list,
  map,
  nullable,
  object,
  optional,
  required,
  text,
  timestamp,
  type Static,
} from '../crds/schema/schema.ts';
import { parseFile } from '../sidecar/manifests/document.ts';
import { readFolder } from '../sidecar/manifests/folder.ts';
import { manifestError, type Locator, type ManifestError } from '../sidecar/manifests/location.ts';
import { EFFECTS } from '../sidecar/operation.ts';

const MAX_TEXT = 1_000_000;
const name = (description: string) => text(description, { minLength: 1, maxLength: 400 });
const names = (description: string) => list(description, name('A name.'), { maxItems: 1024 });
const accesses = list(
  'What is done to it.',
  choice('An access.', ['read', 'write', 'delete', 'ddl', 'privilege']),
  {
    maxItems: 5,
    unique: 'set',
  },
);

const identity = object('Who asks.', {
  username: optional(name('User name; the subject when not given.')),
  subject: defaulted(name('Subject.'), 'agent'),
  issuer: defaulted(name('Issuer.'), 'sidewarden:token'),
  groups: defaulted(names('Groups.'), []),
  claims: defaulted(free('Claims.'), {}),
  serviceAccount: defaulted(text('namespace/name.', { maxLength: 400 }), ''),
  pod: defaulted(text('namespace/name.', { maxLength: 400 }), ''),
});

const connection = object(
  'The connection, as rules see it; what its manifest says when it is among the policies.',
  {
    namespace: required(namespaceName('Namespace of the connection and its policies.')),
    name: required(objectName('Name of the connection.')),
    database: optional(name('Database.')),
    labels: optional(map('Labels.', text('A label.', { maxLength: 63 }), { maxProperties: 64 })),
  },
);

const facts = object('Facts, instead of a text to analyse.', {
  verb: required(name('As in command tags: SELECT, ALTER TABLE, …')),
  effects: required(
    list('Effects.', choice('An effect.', EFFECTS), { minItems: 1, maxItems: EFFECTS.length, unique: 'set' }),
  ),
  tables: defaulted(
    list(
      'Tables.',
      object('A table.', {
        name: required(name('schema.table.')),
        access: required(accesses),
        indirect: defaulted(boolean('Not named in the text.'), false),
      }),
      { maxItems: 1024 },
    ),
    [],
  ),
  columns: defaulted(
    list(
      'Columns.',
      object('A column.', {
        table: required(name('schema.table.')),
        name: required(name('Column.')),
        access: required(accesses),
      }),
      { maxItems: 4096 },
    ),
    [],
  ),
  functions: defaulted(
    list(
      'Functions.',
      object('A function.', {
        name: required(name('schema.name.')),
        volatility: required(choice('Volatility.', ['immutable', 'stable', 'volatile', 'unknown'])),
      }),
      { maxItems: 1024 },
    ),
    [],
  ),
  hasWhere: defaulted(boolean('Whether it has a WHERE that is not constant.'), false),
  text: defaulted(text('Text.', { maxLength: MAX_TEXT }), ''),
  fingerprint: defaulted(text('Fingerprint.', { maxLength: 64 }), ''),
});

const statement = object(
  'One statement and what is to become of it.',
  {
    sql: optional(text('Its text.', { minLength: 1, maxLength: MAX_TEXT })),
    facts: optional(facts),
    parameters: defaulted(
      list('Bind values.', nullable(text('A value in text form.', { maxLength: MAX_TEXT })), {
        maxItems: 65_535,
      }),
      [],
    ),
    role: defaulted(name('The role it runs as.'), 'agent'),
    inTransaction: defaulted(boolean('Whether a transaction is open.'), false),
    now: optional(timestamp('When it runs; the present when not given.')),
    expect: required(choice('The decision.', ['allow', 'deny', 'hold'])),
    rule: optional(name('A rule that must be among those that led to it.')),
    message: optional(name('What the message of a denial must contain.')),
    masked: optional(
      list(
        'Which output columns come back masked, counted from 1.',
        integer('A column.', { minimum: 1, maximum: 1664 }),
        {
          maxItems: 1664,
          unique: 'set',
        },
      ),
    ),
  },
  [
    { rule: 'has(self.sql) != has(self.facts)', message: 'exactly one of sql and facts must be set' },
    {
      rule: "!has(self.message) || self.expect == 'deny'",
      message: 'only a denial has a message',
      field: 'message',
    },
    { rule: '!has(self.masked) || has(self.sql)', message: 'masks need sql', field: 'masked' },
  ],
);

const testCase = object('A case.', {
  name: required(name('What it shows.')),
  connection: optional(connection),
  identity: optional(identity),
  statements: required(
    list('Statements, each decided by itself.', statement, { minItems: 1, maxItems: 1024 }),
  ),
});

const testFile = object('A file of policy tests.', {
  policies: required(
    list('Files and folders of manifests, seen from this file.', name('A path.'), {
      minItems: 1,
      maxItems: 64,
    }),
  ),
  connection: required(connection),
  identity: required(identity),
  catalog: defaulted(text('CREATE statements of what the statements name.', { maxLength: MAX_TEXT }), ''),
  searchPath: defaulted(list('The search_path.', name('A schema.'), { maxItems: 32 }), ['public']),
  cases: required(list('The cases.', testCase, { minItems: 1, maxItems: 4096, unique: { key: 'name' } })),
});

type TestFile = Static<typeof testFile>;
export type TestCase = Static<typeof testCase>;
export type TestStatement = Static<typeof statement>;
export type TestIdentity = Static<typeof identity>;
export type TestConnection = Static<typeof connection>;

export interface ReadTestFile {
  readonly file: string;
  /** Paths of the policies, absolute. */
  readonly policies: readonly string[];
  readonly content: TestFile;
  readonly locator: Locator;
}

export type TestFileResult =
  | { readonly kind: 'read'; readonly test: ReadTestFile }
  | { readonly kind: 'invalid'; readonly errors: readonly ManifestError[] };

/** Reads one file: one YAML document that is a table of cases. */
export async function readTestFile(path: string): Promise<TestFileResult> {
  const folder = await readFolder(path);
  const [file] = folder.files;
  if (file === undefined || folder.files.length > 1) return invalid(path, folder.errors, 'is not one file');
  const { documents, errors } = parseFile(file);
  const [document] = documents;
  if (document === undefined || documents.length > 1 || errors.length > 0) {
    return invalid(path, errors, 'must hold one YAML document');
  }
  const parsed = parse(testFile, document.value);
  if (parsed.kind === 'invalid') {
    return { kind: 'invalid', errors: parsed.errors.map((error) => manifestError(document.locator, error)) };
  }
  const policies = parsed.value.policies.map((policy) => resolve(dirname(path), policy));
  return { kind: 'read', test: { file: path, policies, content: parsed.value, locator: document.locator } };
}

function invalid(file: string, errors: readonly ManifestError[], message: string): TestFileResult {
  return {
    kind: 'invalid',
    errors: errors.length > 0 ? errors : [{ file, line: 0, column: 0, path: '', message }],
  };
}
