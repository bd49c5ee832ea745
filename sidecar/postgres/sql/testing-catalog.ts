/** A catalog in memory, for tests: relations by a short description, all else known not to exist. */
import type {
  CatalogView,
  Column,
  Constraint,
  FunctionInfo,
  Relation,
  RelationKind,
} from '../catalog/relation.ts';

const TYPES: Readonly<Record<string, number>> = {
  int: 23,
  bigint: 20,
  text: 25,
  varchar: 1043,
  bool: 16,
  date: 1082,
  timestamptz: 1184,
  numeric: 1700,
  float8: 701,
  json: 114,
  jsonb: 3802,
  uuid: 2950,
  oid: 26,
  name: 19,
  'text[]': 1009,
  status: 20001,
};

type Reference = {
  on: string;
  columns: string[];
  keys: string[];
  onDelete?: Relation['referencedBy'][number]['onDelete'];
};

export interface RelationDescription {
  /** `name type`, separated by commas; `name type = a b` is generated from a and b. */
  readonly columns: string;
  readonly kind?: RelationKind;
  readonly definition?: string;
  readonly parents?: readonly string[];
  readonly triggers?: Relation['triggers'];
  readonly rules?: boolean;
  readonly rowSecurity?: boolean;
  readonly partitionKey?: readonly string[];
  /** `kind column column`, separated by commas. */
  readonly constraints?: string;
  readonly references?: readonly Reference[];
}

interface Types {
  readonly oid: number;
  readonly schema: string;
  readonly kind: 'base' | 'composite' | 'domain' | 'enum' | 'range';
}

export class TestingCatalog implements CatalogView {
  version = 1;
  readonly #relations = new Map<string, Relation>();
  readonly #functions = new Map<string, FunctionInfo[]>();
  readonly #types = new Map<string, Types>();
  readonly operators = new Set<string>();
  readonly path: readonly string[] = ['pg_catalog', 'public'];
  /** Names that must be asked for first; empty when all is known. */
  readonly unloaded = new Set<string>();

  relation(schema: string | null, name: string): Relation | null | undefined {
    if (this.unloaded.has(name)) return undefined;
    if (schema !== null) return this.#relations.get(`${schema}.${name}`) ?? null;
    for (const one of this.path) {
      const found = this.#relations.get(`${one}.${name}`);
      if (found) return found;
    }
    return null;
  }

  shadowed(name: string): readonly Relation[] {
    const all = this.path.flatMap((schema) => this.#relations.get(`${schema}.${name}`) ?? []);
    return all[0]?.schema === 'pg_catalog' ? [] : all.slice(1);
  }

  relationByOid(oid: number): Relation | null | undefined {
    for (const relation of this.#relations.values()) if (relation.oid === oid) return relation;
    return null;
  }

  userFunctions(schema: string | null, name: string): readonly FunctionInfo[] | undefined {
    if (this.unloaded.has(name)) return undefined;
    return (this.#functions.get(name) ?? []).filter((one) => schema === null || one.schema === schema);
  }

  hasUserOperator(name: string): boolean | undefined {
    return this.operators.has(name);
  }

  userType(schema: string | null, name: string): Types | null {
    const type = this.#types.get(name);
    return type && (schema === null || type.schema === schema) ? type : null;
  }

  addFunction(schema: string, name: string): this {
    const info: FunctionInfo = {
      oid: 30000,
      schema,
      name,
      kind: 'function',
      volatility: 'volatile',
      language: 'plpgsql',
    };
    this.#functions.set(name, [...(this.#functions.get(name) ?? []), info]);
    return this;
  }

  addType(schema: string, name: string, kind: Types['kind']): this {
    this.#types.set(name, { oid: 20001, schema, kind });
    return this;
  }

  add(fullName: string, description: RelationDescription): this {
    const [schema = 'public', name = ''] = fullName.split('.');
    const oid = 16384 + this.#relations.size;
    const columns = readColumns(description.columns);
    const numbers = (names: readonly string[]) => names.map((one) => numberOf(columns, one));
    const parents = (description.parents ?? []).map((parent) => this.#named(parent));
    const constraints: Constraint[] = (description.constraints ?? '')
      .split(',')
      .filter(Boolean)
      .map((text) => {
        const [kind = '', ...names] = text.trim().split(' ');
        // Test data is trusted.
        return {
          kind: kind as Constraint['kind'],
          name: `${name}_${names.join('_')}_${kind}`,
          columns: numbers(names),
        };
      });
    for (const { on, columns: own, keys } of description.references ?? []) {
      const target = this.#named(on);
      const references = { relation: target.oid, columns: keys.map((key) => numberOf(target.columns, key)) };
      constraints.push({ kind: 'foreign', name: `${name}_fk`, columns: numbers(own), references });
    }
    this.#relations.set(fullName, {
      oid,
      schema,
      name,
      kind: description.kind ?? (description.definition === undefined ? 'table' : 'view'),
      temporary: false,
      columns,
      parents: parents.map((parent) => parent.oid),
      children: [],
      definition: description.definition ?? null,
      triggers: description.triggers ?? [],
      rules: description.rules ?? false,
      rowSecurity: description.rowSecurity ?? false,
      partitionKey: numbers(description.partitionKey ?? []),
      constraints,
      referencedBy: [],
    });
    for (const parent of parents) this.#change(parent, { children: [...parent.children, oid] });
    for (const reference of description.references ?? []) this.#refer(oid, columns, reference);
    return this;
  }

  #refer(
    oid: number,
    columns: readonly Column[],
    { on, columns: own, keys, onDelete = 'refuse' }: Reference,
  ): void {
    const target = this.#named(on);
    const reference = {
      relation: oid,
      columns: own.map((name) => numberOf(columns, name)),
      referenced: keys.map((key) => numberOf(target.columns, key)),
      onDelete,
      onUpdate: 'refuse' as const,
    };
    this.#change(target, { referencedBy: [...target.referencedBy, reference] });
  }

  #named(fullName: string): Relation {
    const relation = this.#relations.get(fullName);
    if (relation === undefined) throw new Error(`no relation ${fullName}`);
    return relation;
  }

  #change(relation: Relation, change: Partial<Relation>): void {
    this.#relations.set(`${relation.schema}.${relation.name}`, { ...relation, ...change });
  }
}

function readColumns(text: string): Column[] {
  const names: string[] = [];
  return text.split(',').map((one, index) => {
    const [declaration = '', from = ''] = one.split('=');
    const [name = '', type = 'text'] = declaration.trim().split(' ');
    names.push(name);
    const generatedFrom =
      from.trim() === ''
        ? []
        : from
            .trim()
            .split(' ')
            .map((source) => names.indexOf(source) + 1);
    return {
      number: index + 1,
      name,
      type: TYPES[type] ?? 20000,
      generated: generatedFrom.length > 0,
      generatedFrom,
    };
  });
}

function numberOf(columns: readonly Column[], name: string): number {
  const column = columns.find((one) => one.name === name);
  if (column === undefined) throw new Error(`no column ${name}`);
  return column.number;
}
