/**
 * The words that every part shares: who asks, on what, what the operation is, and what was decided.
 * Protocol folders make facts, `policy/` decides on them, `pipeline.ts` turns decisions into permits.
 */

/** What an operation does to its target. A closed set; `opaque` is what cannot be known statically. */
export const EFFECTS = [
  'read',
  'write',
  'delete',
  'ddl',
  'privilege',
  'session',
  'administer',
  'opaque',
] as const;
export type Effect = (typeof EFFECTS)[number];

/** Who asks: proven by the run's token, never taken from what the client merely claims. */
export interface Identity {
  /** Who vouches: `sidewarden:token`, `sidewarden:loopback`, or an OIDC issuer URL. */
  readonly issuer: string;
  readonly subject: string;
  readonly username: string;
  readonly groups: readonly string[];
  readonly claims: Readonly<Record<string, unknown>>;
  /** `namespace/name`, or empty outside a cluster. */
  readonly serviceAccount: string;
  /** `namespace/name`, or empty outside a cluster. */
  readonly pod: string;
}

/** The connection as rules see it. */
export interface ConnectionFacts {
  readonly name: string;
  readonly namespace: string;
  readonly protocol: string;
  readonly database: string;
  readonly labels: Readonly<Record<string, string>>;
}

export type Access = 'read' | 'write' | 'delete' | 'ddl' | 'privilege';

/** A table, view or other relation that a statement touches, by its resolved name. */
export interface TableFact {
  /** `schema.table` as the catalog has it (unquoted, exact case); `?.name` when it could not be resolved. */
  readonly name: string;
  /** Sorted, without repeats. */
  readonly access: readonly Access[];
  /** True when reached through a view, partition or inheritance and not named in the text. */
  readonly indirect: boolean;
}

export interface ColumnFact {
  /** `schema.table`. */
  readonly table: string;
  readonly name: string;
  readonly access: readonly Access[];
}

export type Volatility = 'immutable' | 'stable' | 'volatile' | 'unknown';

export interface FunctionFact {
  /** `schema.name`; `?.name` when it could not be resolved. */
  readonly name: string;
  readonly volatility: Volatility;
}

/** What is known of one SQL statement from its text and the catalog. Frozen, shared by all its executions. */
export interface SqlStatementFacts {
  /**
   * Command in the words of PostgreSQL's command tags: `SELECT`, `DELETE`, `DROP DATABASE`, `ALTER TABLE`, … Of a query,
   * COPY or EXPLAIN ANALYZE that runs data-modifying statements inside it, the most destructive one's: DELETE, UPDATE, MERGE, INSERT.
   */
  readonly verb: string;
  /** Sorted in the order of `EFFECTS`, without repeats, never empty. */
  readonly effects: readonly Effect[];
  readonly tables: readonly TableFact[];
  readonly columns: readonly ColumnFact[];
  readonly functions: readonly FunctionFact[];
  /** Of UPDATE, DELETE, SELECT and MERGE: every one of them in the statement has a WHERE (or ON) clause that is not constant. */
  readonly hasWhere: boolean;
  /** The exact text of this one statement. */
  readonly text: string;
  /** libpg_query's fingerprint: equal for texts that differ only in literals and spacing. */
  readonly fingerprint: string;
  /** The same object for statements that are known to be alike in all facts but their text. Rules do not see it. */
  readonly shape?: object;
}

/** `sql` as rules see it: the statement's own facts, and those of this one execution. */
export interface SqlFacts {
  readonly statement: SqlStatementFacts;
  /** Bind values in text form, in order; null is SQL NULL. Empty for the simple protocol. */
  readonly parameters: readonly (string | null)[];
  /** The role that the server runs the statement as. */
  readonly role: string;
  /** Whether a transaction block is open. */
  readonly inTransaction: boolean;
}

/** All that a rule can see of an operation, by protocol. */
export type Facts = { readonly kind: 'postgres'; readonly sql: SqlFacts };

export interface RuleRef {
  /** `namespace/name` of the policy. */
  readonly policy: string;
  readonly rule: string;
}

/** One hold that must be satisfied before the operation goes on. */
export interface HoldRequirement {
  readonly rule: RuleRef;
  readonly approvers: { readonly users: readonly string[]; readonly groups: readonly string[] };
  /** Milliseconds. */
  readonly timeout: number;
  /** What to do when a transaction that has written is open. */
  readonly inTransaction: 'Wait' | 'Refuse' | 'Auto';
}

/** The outcome of the policies, a pure function of facts. */
export type Decision =
  | { readonly kind: 'allow'; readonly rules: readonly RuleRef[]; readonly observed: readonly Observed[] }
  | {
      readonly kind: 'deny';
      readonly rules: readonly RuleRef[];
      readonly message: string;
      readonly hint: string;
      readonly observed: readonly Observed[];
    }
  | {
      readonly kind: 'hold';
      readonly rules: readonly RuleRef[];
      readonly requirements: readonly HoldRequirement[];
      readonly observed: readonly Observed[];
    };

/** What a policy in `Observe` mode would have done; recorded and told, never enforced. */
export interface Observed {
  readonly policy: string;
  readonly would: 'allow' | 'deny' | 'hold';
  readonly rules: readonly RuleRef[];
}

/** Why an operation was refused, in words that an adapter turns into its protocol's own error. Holds no protected data. */
export interface Denial {
  readonly code:
    | 'denied'
    | 'approval-denied'
    | 'approval-expired'
    | 'approval-void'
    | 'cancelled'
    | 'mask'
    | 'unparseable'
    | 'unsupported'
    | 'recording'
    | 'policy-stale'
    | 'internal';
  readonly message: string;
  /** Which rule or check refused it. */
  readonly detail: string;
  /** What to do instead. */
  readonly hint: string;
}
