/** What one pass over one statement (or one view's definition) has found so far. */
import type { Access, ColumnFact, Effect, FunctionFact, TableFact, Volatility } from '../../operation.ts';
import type { Node } from '@pgsql/types';
import type { CatalogNeed, CatalogView, Relation } from '../catalog/relation.ts';
import { OPAQUE, accessBit, accessList, effectBit } from './effect-set.ts';
import type { Protection } from './protection.ts';
import type { SessionNames } from './statement.ts';
import type { Flow, Value } from './value.ts';

export interface Verdict {
  readonly reason: string;
  readonly hint: string;
}

/** Names made or changed earlier in the same text: what they stand for is not known yet. */
export interface Changed {
  readonly names: Set<string>;
  /** Something opaque came before: any name may be another now. */
  everything: boolean;
  /** search_path may be another: names without a schema mean something else. */
  path: boolean;
}

interface Touched {
  readonly name: string;
  access: number;
  indirect: boolean;
}

const MAX_STEPS = 100_000;
const BY_DESTRUCTION: readonly string[] = ['INSERT', 'MERGE', 'UPDATE', 'DELETE'];

export class Walk {
  readonly catalog: CatalogView;
  readonly protection: Protection;
  readonly names: SessionNames;
  readonly changed: Changed;
  readonly needs: CatalogNeed[];
  /** Inside a view's definition, whose names are qualified unless they are of pg_catalog. */
  readonly definition: boolean;
  effects = 0;
  parameterCount = 0;
  #steps = 0;
  /** Nodes that the structured walk came by; what it missed is opaque. */
  readonly seen = new Set<object>();
  readonly tables = new Map<string, Touched>();
  readonly columns = new Map<string, { readonly table: string; readonly name: string; access: number }>();
  readonly functions = new Map<string, Volatility>();
  /** A relation with protected columns that was touched, by name. */
  touched: string | null = null;
  refused: Verdict | null = null;
  untraceable: Verdict | null = null;
  /** UPDATE, DELETE and MERGE found, and whether one of them is without a condition. */
  modifies = false;
  unconditional = false;
  /** The most destructive statement that is run, wherever in the tree it stands. */
  modifying: string | null = null;
  changesSettings = false;
  /** Arguments of each call of set_config. */
  readonly settings: (readonly Node[])[] = [];
  /** Relations that were named, and what was done to them. */
  readonly relations = new Map<Relation, Access>();
  /** Calls something whose planning alone may take much time or memory. */
  expensive = false;
  /** Inside a definition: types are named, not converted to. */
  declaring = false;
  /** What a definition does to the relations that it names. */
  defining: Access = 'ddl';
  /** Views being followed, against cycles. */
  readonly following: Set<number>;

  constructor(
    context: { catalog: CatalogView; protection: Protection; names: SessionNames; changed: Changed },
    needs: CatalogNeed[],
    definition: boolean,
    following: Set<number>,
  ) {
    this.catalog = context.catalog;
    this.protection = context.protection;
    this.names = context.names;
    this.changed = context.changed;
    this.needs = needs;
    this.definition = definition;
    this.following = following;
  }

  get masked(): boolean {
    return this.protection.active;
  }

  /** Bounds the work: a recursive query inside another's is gone through several times. Throws a `RangeError`. */
  step(): void {
    this.#steps += 1;
    if (this.#steps > MAX_STEPS) throw new RangeError('too many subqueries');
  }

  /** A statement of this verb is run with all of it. */
  runs(verb: string): void {
    if (BY_DESTRUCTION.indexOf(verb) > BY_DESTRUCTION.indexOf(this.modifying ?? '')) this.modifying = verb;
  }

  effect(effect: Effect): void {
    this.effects |= effectBit(effect);
  }

  /** Something that cannot be known. */
  opaque(what: string): void {
    this.effects |= OPAQUE;
    if (this.masked) this.lost(`${what} cannot be looked into`);
  }

  refuse(reason: string, hint: string): void {
    this.refused ??= { reason, hint };
  }

  /** Where protected data goes could not be followed. */
  lost(reason: string, hint = 'use plain SELECT, INSERT, UPDATE and DELETE with built-in functions'): void {
    this.untraceable ??= { reason, hint };
  }

  need(need: CatalogNeed): void {
    this.needs.push(need);
  }

  table(name: string, access: Access | null, indirect: boolean): void {
    const bit = access === null ? 0 : accessBit(access);
    const known = this.tables.get(name);
    if (known === undefined) this.tables.set(name, { name, access: bit, indirect });
    else {
      known.access |= bit;
      known.indirect &&= indirect;
    }
  }

  column(table: string, name: string, access: Access): void {
    const key = `${table}\0${name}`;
    const known = this.columns.get(key);
    if (known === undefined) this.columns.set(key, { table, name, access: accessBit(access) });
    else known.access |= accessBit(access);
  }

  function(name: string, volatility: Volatility): void {
    if (this.functions.get(name) !== 'unknown') this.functions.set(name, volatility);
  }

  /** Refuses protected data at a place where it decides what the client sees. */
  condition(value: Value, clause: string): Value {
    if (value.flow) this.refuseFlow(value.flow, clause);
    return value;
  }

  refuseFlow(flow: Flow, clause: string): void {
    this.refuse(
      `the protected column ${flow.column} is used in ${clause}`,
      'protected columns may only be selected as they are: select the column, and filter, sort or compute by others',
    );
  }

  /** What a followed view does counts as done by this statement. */
  merge(other: Walk): void {
    this.effects |= other.effects;
    for (const { name, access } of other.tables.values()) {
      this.table(name, null, true);
      const own = this.tables.get(name);
      if (own) own.access |= access;
    }
    for (const { table, name, access } of other.columns.values()) {
      const key = `${table}\0${name}`;
      const own = this.columns.get(key);
      if (own) own.access |= access;
      else this.columns.set(key, { table, name, access });
    }
    for (const [name, volatility] of other.functions) this.function(name, volatility);
    this.touched ??= other.touched;
    this.refused ??= other.refused;
    this.untraceable ??= other.untraceable;
    this.expensive ||= other.expensive;
    this.settings.push(...other.settings);
  }

  /** The statement is not run: nothing is changed by it. */
  readOnly(): void {
    const bit = accessBit('read');
    for (const table of this.tables.values()) table.access = bit;
    for (const column of this.columns.values()) column.access = bit;
  }

  /** A table among those touched that has protected columns, however it came in. */
  protectedTable(): string | null {
    for (const name of this.tables.keys()) if (this.protection.inSchema(name)) return name;
    return null;
  }

  tableFacts(): readonly TableFact[] {
    const facts = Array.from(this.tables.values(), ({ name, access, indirect }) => ({
      name,
      access: accessList(access),
      indirect,
    }));
    return facts.length > 1 ? facts.sort((a, b) => order(a.name, b.name)) : facts;
  }

  columnFacts(): readonly ColumnFact[] {
    return Array.from(this.columns.values(), ({ table, name, access }) => ({
      table,
      name,
      access: accessList(access),
    })).sort((a, b) => order(a.table, b.table) || order(a.name, b.name));
  }

  functionFacts(): readonly FunctionFact[] {
    if (this.functions.size === 0) return [];
    return Array.from(this.functions, ([name, volatility]) => ({ name, volatility })).sort((a, b) =>
      order(a.name, b.name),
    );
  }
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export const relationName = ({ schema, name }: Relation): string => `${schema}.${name}`;
