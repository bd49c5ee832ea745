/**
 * Facts as CEL sees them. Each declared type is a class whose instances carry exactly the declared fields, so that a
 * rule can reach nothing else of a JavaScript object, and no conversion runs while a rule is evaluated.
 */
import type {
  ColumnFact,
  ConnectionFacts,
  FunctionFact,
  Identity,
  SqlFacts,
  SqlStatementFacts,
  TableFact,
} from '../operation.ts';

/** Declared fields, by type, in CEL's words: what a rule is type-checked against. */
export const FACT_TYPES = {
  Table: { name: 'string', access: 'list<string>', indirect: 'bool' },
  Column: { table: 'string', name: 'string', access: 'list<string>' },
  Function: { name: 'string', volatility: 'string' },
  Sql: {
    verb: 'string',
    effects: 'list<string>',
    tables: 'list<Table>',
    columns: 'list<Column>',
    functions: 'list<Function>',
    hasWhere: 'bool',
    text: 'string',
    fingerprint: 'string',
    parameters: 'list<dyn>',
    role: 'string',
    inTransaction: 'bool',
  },
  Identity: {
    issuer: 'string',
    subject: 'string',
    username: 'string',
    groups: 'list<string>',
    claims: 'map<string, dyn>',
    serviceAccount: 'string',
    pod: 'string',
  },
  Connection: {
    name: 'string',
    namespace: 'string',
    protocol: 'string',
    database: 'string',
    labels: 'map<string, string>',
  },
} as const satisfies Record<string, Record<string, string>>;

/** Top-level names and their types. */
export const FACT_NAMES: ReadonlyMap<string, string> = new Map([
  ['identity', 'Identity'],
  ['connection', 'Connection'],
  ['now', 'google.protobuf.Timestamp'],
  ['sql', 'Sql'],
]);

/** Facts of `sql` that differ between executions of one statement. */
export const DYNAMIC_SQL_FACTS: ReadonlySet<string> = new Set(['parameters', 'role', 'inTransaction']);

export class TableView {
  readonly name: string;
  readonly access: readonly string[];
  readonly indirect: boolean;
  constructor(fact: TableFact) {
    this.name = fact.name;
    this.access = fact.access;
    this.indirect = fact.indirect;
  }
}

export class ColumnView {
  readonly table: string;
  readonly name: string;
  readonly access: readonly string[];
  constructor(fact: ColumnFact) {
    this.table = fact.table;
    this.name = fact.name;
    this.access = fact.access;
  }
}

export class FunctionView {
  readonly name: string;
  readonly volatility: string;
  constructor(fact: FunctionFact) {
    this.name = fact.name;
    this.volatility = fact.volatility;
  }
}

interface StatementLists {
  readonly tables: readonly TableView[];
  readonly columns: readonly ColumnView[];
  readonly functions: readonly FunctionView[];
}

const lists = new WeakMap<SqlStatementFacts, StatementLists>();

function listsOf(statement: SqlStatementFacts): StatementLists {
  const known = lists.get(statement);
  if (known !== undefined) return known;
  const made = {
    tables: statement.tables.map((fact) => new TableView(fact)),
    columns: statement.columns.map((fact) => new ColumnView(fact)),
    functions: statement.functions.map((fact) => new FunctionView(fact)),
  };
  lists.set(statement, made);
  return made;
}

export class SqlView {
  readonly verb: string;
  readonly effects: readonly string[];
  readonly tables: readonly TableView[];
  readonly columns: readonly ColumnView[];
  readonly functions: readonly FunctionView[];
  readonly hasWhere: boolean;
  readonly text: string;
  readonly fingerprint: string;
  readonly parameters: readonly (string | null)[];
  readonly role: string;
  readonly inTransaction: boolean;
  constructor(facts: SqlFacts) {
    const statement = facts.statement;
    const views = listsOf(statement);
    this.verb = statement.verb;
    this.effects = statement.effects;
    this.tables = views.tables;
    this.columns = views.columns;
    this.functions = views.functions;
    this.hasWhere = statement.hasWhere;
    this.text = statement.text;
    this.fingerprint = statement.fingerprint;
    this.parameters = facts.parameters;
    this.role = facts.role;
    this.inTransaction = facts.inTransaction;
  }
}

const MAX_CLAIM_DEPTH = 16;

/** A claim in CEL's values. Maps are `Map`s, so that a key such as `__proto__` is a key; what is no JSON is left out. */
function claimValue(value: unknown, depth: number): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (typeof value !== 'object' || depth > MAX_CLAIM_DEPTH) return undefined;
  if (Array.isArray(value)) {
    // An array of unknown, narrowed by isArray to any[].
    const items = (value as readonly unknown[]).map((item) => claimValue(item, depth + 1));
    // A hole would shift what follows: without the whole list, a rule on it fails, which denies.
    return items.includes(undefined) ? undefined : items;
  }
  return claimMap(value, depth + 1);
}

function claimMap(value: object, depth: number): ReadonlyMap<string, unknown> {
  const made = new Map<string, unknown>();
  for (const [key, item] of Object.entries(value)) {
    const claim = claimValue(item, depth);
    if (claim !== undefined) made.set(key, claim);
  }
  return made;
}

export class IdentityView {
  readonly issuer: string;
  readonly subject: string;
  readonly username: string;
  readonly groups: readonly string[];
  readonly claims: ReadonlyMap<string, unknown>;
  readonly serviceAccount: string;
  readonly pod: string;
  constructor(identity: Identity) {
    this.issuer = identity.issuer;
    this.subject = identity.subject;
    this.username = identity.username;
    this.groups = [...identity.groups];
    this.claims = claimMap(identity.claims, 0);
    this.serviceAccount = identity.serviceAccount;
    this.pod = identity.pod;
  }
}

export class ConnectionView {
  readonly name: string;
  readonly namespace: string;
  readonly protocol: string;
  readonly database: string;
  readonly labels: ReadonlyMap<string, string>;
  constructor(connection: ConnectionFacts) {
    this.name = connection.name;
    this.namespace = connection.namespace;
    this.protocol = connection.protocol;
    this.database = connection.database;
    this.labels = new Map(Object.entries(connection.labels));
  }
}

/** What an evaluation runs against. */
export interface RuleContext {
  readonly identity: IdentityView;
  readonly connection: ConnectionView;
  readonly now: Date;
  readonly sql: SqlView;
}
