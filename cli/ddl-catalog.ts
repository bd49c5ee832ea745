/** A catalog made from CREATE statements, so that policies can be tested without a database. */
import type { CreateFunctionStmt, CreateStmt, CreateTrigStmt, Node, ViewStmt } from '@pgsql/types';
import type { Volatility } from '../sidecar/operation.ts';
import type { Column, FunctionInfo, Relation, RelationKind } from '../sidecar/postgres/catalog/relation.ts';
import { FIRST_USER_OID } from '../sidecar/postgres/catalog/literal.ts';
import type { NamedType } from '../sidecar/postgres/catalog/names.ts';
import type { Loaded } from '../sidecar/postgres/catalog/view.ts';
import { parse } from '../sidecar/postgres/sql/parser.ts';
import { qualifiedName, relationName, strings, type QualifiedName } from './ddl-name.ts';
import { tableShape, type ForeignKey } from './ddl-table.ts';
import { typeOid } from './ddl-type.ts';
import { queryText, relationsIn, viewColumns } from './ddl-view.ts';

export type DdlResult =
  | { readonly kind: 'catalog'; readonly loaded: Loaded }
  | { readonly kind: 'invalid'; readonly problems: readonly string[] };

/** Call `loadParser` before. All that is wrong comes back at once. */
export function catalogOfDdl(text: string): DdlResult {
  const parsed = parse(text);
  if (parsed.kind === 'unparseable') return { kind: 'invalid', problems: [parsed.message] };
  const builder = new Builder();
  for (const statement of parsed.statements) builder.add(statement.node, statement.text);
  builder.connect();
  return builder.problems.length > 0
    ? { kind: 'invalid', problems: builder.problems }
    : { kind: 'catalog', loaded: builder.loaded() };
}

const EVENTS = [
  ['INSERT', 4],
  ['DELETE', 8],
  ['UPDATE', 16],
  ['TRUNCATE', 32],
] as const;

class Builder {
  readonly problems: string[] = [];
  readonly #relations = new Map<number, Relation>();
  readonly #functions: FunctionInfo[] = [];
  readonly #types: (NamedType & { readonly name: string })[] = [];
  readonly #foreignKeys: (ForeignKey & { readonly relation: number })[] = [];
  #nextOid = FIRST_USER_OID;

  add(node: Node, text: string): void {
    if ('CreateStmt' in node) this.#table(node.CreateStmt);
    else if ('ViewStmt' in node) this.#view(node.ViewStmt, text);
    else if ('CreateFunctionStmt' in node) this.#function(node.CreateFunctionStmt);
    else if ('CreateTrigStmt' in node) this.#trigger(node.CreateTrigStmt);
    else if ('CreateSeqStmt' in node)
      this.#relation(relationName(node.CreateSeqStmt.sequence), 'sequence', []);
    else if ('CreateEnumStmt' in node) this.#type(qualifiedName(node.CreateEnumStmt.typeName), 'enum');
    else if ('CreateDomainStmt' in node)
      this.#type(qualifiedName(node.CreateDomainStmt.domainname), 'domain');
    else if (!('CreateSchemaStmt' in node)) {
      this.problems.push(
        `${text.slice(0, 40).replaceAll(/\s+/gu, ' ')}…: only CREATE TABLE, VIEW, FUNCTION, PROCEDURE, TRIGGER, SEQUENCE, TYPE … AS ENUM, DOMAIN and SCHEMA are understood`,
      );
    }
  }

  /** Foreign keys may point at what comes later. */
  connect(): void {
    for (const key of this.#foreignKeys) {
      const from = this.#relations.get(key.relation);
      const target = this.#find(key.target.schema, key.target.name);
      if (from === undefined || target === undefined) {
        this.problems.push(
          `a foreign key points at ${key.target.schema}.${key.target.name}, which is not there`,
        );
        continue;
      }
      const primary = target.constraints.find(({ kind }) => kind === 'primary')?.columns ?? [];
      const named = key.targetColumns.map(
        (name) => target.columns.find((column) => column.name === name)?.number ?? 0,
      );
      const referenced = key.targetColumns.length === 0 ? primary : named;
      const references = { relation: target.oid, columns: referenced };
      const constraint = { kind: 'foreign' as const, name: '', columns: key.columns, references };
      this.#relations.set(from.oid, { ...from, constraints: [...from.constraints, constraint] });
      const pointed = this.#relations.get(target.oid) ?? target;
      const { onDelete, onUpdate } = key;
      const back = { relation: from.oid, columns: key.columns, referenced, onDelete, onUpdate };
      this.#relations.set(target.oid, { ...pointed, referencedBy: [...pointed.referencedBy, back] });
    }
  }

  loaded(): Loaded {
    const relations = [...this.#relations.values()];
    return {
      version: 1,
      named: (name) => relations.filter((relation) => relation.name === name),
      relation: (oid) => this.#relations.get(oid) ?? null,
      functions: (name) => this.#functions.filter((entry) => entry.name === name),
      types: (name) => this.#types.filter((type) => type.name === name),
      operator: () => false,
    };
  }

  #find(schema: string, name: string): Relation | undefined {
    return [...this.#relations.values()].find(
      (relation) => relation.schema === schema && relation.name === name,
    );
  }

  #relation({ schema, name }: QualifiedName, kind: RelationKind, columns: readonly Column[]): Relation {
    const relation: Relation = {
      oid: this.#nextOid++,
      schema,
      name,
      kind,
      temporary: false,
      columns,
      parents: [],
      children: [],
      definition: null,
      triggers: [],
      rules: false,
      rowSecurity: false,
      constraints: [],
      referencedBy: [],
    };
    this.#relations.set(relation.oid, relation);
    if (kind !== 'sequence') this.#type({ schema, name }, 'composite');
    return relation;
  }

  #type({ schema, name }: QualifiedName, kind: NamedType['kind']): void {
    this.#types.push({ oid: this.#nextOid++, schema, name, kind });
  }

  #userType(schema: string | null, name: string): number | undefined {
    return this.#types.find((type) => type.name === name && type.schema === (schema ?? 'public'))?.oid;
  }

  #table(statement: CreateStmt): void {
    const parents = (statement.inhRelations ?? []).flatMap((node) => {
      const parent = 'RangeVar' in node ? relationName(node.RangeVar) : { schema: '', name: '' };
      const found = this.#find(parent.schema, parent.name);
      if (found === undefined)
        this.problems.push(`${parent.schema}.${parent.name} is not there to be inherited from`);
      return found ?? [];
    });
    const inherited = parents
      .flatMap((parent) => parent.columns)
      .map((column, index) => ({ ...column, number: index + 1 }));
    const shape = tableShape(statement, inherited, ({ typeName }) =>
      typeOid(typeName, (schema, name) => this.#userType(schema, name)),
    );
    this.problems.push(...shape.problems);
    const kind = statement.partspec === undefined ? 'table' : 'partitioned';
    const made = this.#relation(relationName(statement.relation), kind, shape.columns);
    const oids = parents.map(({ oid }) => oid);
    this.#relations.set(made.oid, { ...made, parents: oids, constraints: shape.constraints });
    for (const oid of oids) {
      const parent = this.#relations.get(oid);
      if (parent !== undefined)
        this.#relations.set(oid, { ...parent, children: [...parent.children, made.oid] });
    }
    for (const key of shape.foreignKeys) this.#foreignKeys.push({ ...key, relation: made.oid });
  }

  #view(statement: ViewStmt, text: string): void {
    const name = relationName(statement.view);
    const query =
      statement.query !== undefined && 'SelectStmt' in statement.query
        ? statement.query.SelectStmt
        : undefined;
    const sources: Relation[] = [];
    for (const source of relationsIn(query)) {
      const found = source.schema === undefined ? undefined : this.#find(source.schema, source.name);
      if (found !== undefined) sources.push(found);
      else
        this.problems.push(
          `view ${name.name}: ${source.name} must be written as schema.name and be made before`,
        );
    }
    const columns = viewColumns(query, strings(statement.aliases), sources);
    if (typeof columns === 'string') {
      this.problems.push(`view ${name.name}: ${columns}`);
      return;
    }
    const made = this.#relation(name, 'view', columns);
    this.#relations.set(made.oid, { ...made, definition: queryText(text) ?? null });
  }

  #function(statement: CreateFunctionStmt): void {
    const options = new Map(
      (statement.options ?? []).flatMap((node) => {
        if (!('DefElem' in node)) return [];
        const { defname = '', arg } = node.DefElem;
        return [[defname, arg !== undefined && 'String' in arg ? (arg.String.sval ?? '') : '']];
      }),
    );
    const volatilities: readonly Volatility[] = ['immutable', 'stable', 'volatile'];
    this.#functions.push({
      oid: this.#nextOid++,
      ...qualifiedName(statement.funcname),
      kind: statement.is_procedure === true ? 'procedure' : 'function',
      volatility: volatilities.find((known) => known === options.get('volatility')) ?? 'volatile',
      language: options.get('language') ?? 'sql',
    });
  }

  #trigger(statement: CreateTrigStmt): void {
    const { schema, name } = relationName(statement.relation);
    const relation = this.#find(schema, name);
    if (relation === undefined) {
      this.problems.push(`a trigger on ${schema}.${name}, which is not there`);
      return;
    }
    const events = EVENTS.filter(([, bit]) => ((statement.events ?? 0) & bit) !== 0).map(([event]) => event);
    const triggers = [...new Set([...relation.triggers, ...events])];
    this.#relations.set(relation.oid, { ...relation, triggers });
  }
}
