/** Statements that define, change or drop objects, or work on the server: by kind of node, what each does. */
import type { Node } from '@pgsql/types';
import type { Effect } from '../../operation.ts';
import { strings } from './node.ts';
import { isRelationType, objectWords } from './object-type.ts';

/** Under masks: `fine` moves no data, `untraceable` makes code or channels that could. */
type UnderMasks = 'fine' | 'untraceable';

interface Definition {
  readonly verb: string | ((fields: Fields) => string);
  readonly effects: readonly Effect[];
  readonly masks: UnderMasks;
}

/** The node's fields, of whichever kind it is. */
export type Fields = Readonly<Record<string, unknown>>;

const text = (fields: Fields, name: string): string => {
  const value = fields[name];
  return typeof value === 'string' ? value : '';
};
const by = (prefix: string, field: string) => (fields: Fields) =>
  `${prefix} ${objectWords(text(fields, field))}`;

const rows = (
  effects: readonly Effect[],
  masks: UnderMasks,
  verbs: Readonly<Record<string, Definition['verb']>>,
): [string, Definition][] => Object.entries(verbs).map(([tag, verb]) => [tag, { verb, effects, masks }]);

export const DEFINITIONS: ReadonlyMap<string, Definition> = new Map([
  ...rows(['ddl'], 'fine', {
    CreateStmt: 'CREATE TABLE',
    CreateSeqStmt: 'CREATE SEQUENCE',
    AlterSeqStmt: 'ALTER SEQUENCE',
    CreateEnumStmt: 'CREATE TYPE',
    AlterEnumStmt: 'ALTER TYPE',
    CompositeTypeStmt: 'CREATE TYPE',
    CreateDomainStmt: 'CREATE DOMAIN',
    CommentStmt: 'COMMENT',
    DropStmt: by('DROP', 'removeType'),
    RenameStmt: renameVerb,
    AlterObjectSchemaStmt: by('ALTER', 'objectType'),
    IndexStmt: 'CREATE INDEX',
    CreateStatsStmt: 'CREATE STATISTICS',
    AlterStatsStmt: 'ALTER STATISTICS',
    AlterTypeStmt: 'ALTER TYPE',
    AlterCollationStmt: 'ALTER COLLATION',
    AlterTableStmt: by('ALTER', 'objtype'),
  }),
  ...rows(['ddl'], 'untraceable', {
    AlterDomainStmt: 'ALTER DOMAIN',
    CreateRangeStmt: 'CREATE TYPE',
    DefineStmt: by('CREATE', 'kind'),
    CreateFunctionStmt: (fields) =>
      fields['is_procedure'] === true ? 'CREATE PROCEDURE' : 'CREATE FUNCTION',
    AlterFunctionStmt: by('ALTER', 'objtype'),
    CreateTrigStmt: 'CREATE TRIGGER',
    RuleStmt: 'CREATE RULE',
    CreateCastStmt: 'CREATE CAST',
    CreateConversionStmt: 'CREATE CONVERSION',
    CreateTransformStmt: 'CREATE TRANSFORM',
    CreateOpClassStmt: 'CREATE OPERATOR CLASS',
    CreateOpFamilyStmt: 'CREATE OPERATOR FAMILY',
    AlterOpFamilyStmt: 'ALTER OPERATOR FAMILY',
    AlterOperatorStmt: 'ALTER OPERATOR',
    AlterTSDictionaryStmt: 'ALTER TEXT SEARCH DICTIONARY',
    AlterTSConfigurationStmt: 'ALTER TEXT SEARCH CONFIGURATION',
    AlterObjectDependsStmt: by('ALTER', 'objectType'),
    CreateForeignTableStmt: 'CREATE FOREIGN TABLE',
  }),
  ...rows(['ddl', 'privilege'], 'untraceable', {
    CreatePolicyStmt: 'CREATE POLICY',
    AlterPolicyStmt: 'ALTER POLICY',
  }),
  ...rows(['ddl', 'privilege'], 'fine', { AlterOwnerStmt: by('ALTER', 'objectType') }),
  ...rows(['delete', 'ddl', 'privilege'], 'fine', { DropOwnedStmt: 'DROP OWNED' }),
  ...rows(['ddl', 'privilege'], 'fine', { ReassignOwnedStmt: 'REASSIGN OWNED' }),
  ...rows(['privilege'], 'fine', {
    GrantStmt: (fields) => (fields['is_grant'] === true ? 'GRANT' : 'REVOKE'),
    GrantRoleStmt: (fields) => (fields['is_grant'] === true ? 'GRANT ROLE' : 'REVOKE ROLE'),
    AlterDefaultPrivilegesStmt: 'ALTER DEFAULT PRIVILEGES',
    CreateRoleStmt: 'CREATE ROLE',
    AlterRoleStmt: 'ALTER ROLE',
    DropRoleStmt: 'DROP ROLE',
    SecLabelStmt: 'SECURITY LABEL',
  }),
  // They set what later sessions start with, or how plans are chosen.
  ...rows(['privilege'], 'untraceable', { AlterRoleSetStmt: 'ALTER ROLE' }),
  ...rows(['privilege', 'administer'], 'untraceable', {
    CreateUserMappingStmt: 'CREATE USER MAPPING',
    AlterUserMappingStmt: 'ALTER USER MAPPING',
    DropUserMappingStmt: 'DROP USER MAPPING',
  }),
  ...rows(['ddl', 'administer'], 'untraceable', {
    CreateForeignServerStmt: 'CREATE SERVER',
    AlterForeignServerStmt: 'ALTER SERVER',
    CreateFdwStmt: 'CREATE FOREIGN DATA WRAPPER',
    AlterFdwStmt: 'ALTER FOREIGN DATA WRAPPER',
    CreateAmStmt: 'CREATE ACCESS METHOD',
    CreateEventTrigStmt: 'CREATE EVENT TRIGGER',
    AlterEventTrigStmt: 'ALTER EVENT TRIGGER',
    CreatePLangStmt: 'CREATE LANGUAGE',
    CreatePublicationStmt: 'CREATE PUBLICATION',
    AlterPublicationStmt: 'ALTER PUBLICATION',
    AlterExtensionContentsStmt: 'ALTER EXTENSION',
    CreatedbStmt: 'CREATE DATABASE',
    DropSubscriptionStmt: 'DROP SUBSCRIPTION',
    AlterTableMoveAllStmt: by('ALTER', 'objtype'),
    AlterDatabaseSetStmt: 'ALTER DATABASE',
    AlterTableSpaceOptionsStmt: 'ALTER TABLESPACE',
  }),
  ...rows(['ddl', 'administer'], 'fine', {
    DropdbStmt: 'DROP DATABASE',
    DropTableSpaceStmt: 'DROP TABLESPACE',
    AlterDatabaseRefreshCollStmt: 'ALTER DATABASE',
    AlterDatabaseStmt: 'ALTER DATABASE',
    CreateTableSpaceStmt: 'CREATE TABLESPACE',
  }),
  // They run scripts, load code, or speak with other servers.
  ...rows(['ddl', 'administer', 'opaque'], 'untraceable', {
    CreateExtensionStmt: 'CREATE EXTENSION',
    AlterExtensionStmt: 'ALTER EXTENSION',
    ImportForeignSchemaStmt: 'IMPORT FOREIGN SCHEMA',
    CreateSubscriptionStmt: 'CREATE SUBSCRIPTION',
    AlterSubscriptionStmt: 'ALTER SUBSCRIPTION',
  }),
  ...rows(['administer', 'opaque'], 'untraceable', { LoadStmt: 'LOAD' }),
  ...rows(['administer'], 'untraceable', { AlterSystemStmt: 'ALTER SYSTEM' }),
  ...rows(['administer'], 'fine', {
    VacuumStmt: (fields) => (fields['is_vacuumcmd'] === true ? 'VACUUM' : 'ANALYZE'),
    ClusterStmt: 'CLUSTER',
    ReindexStmt: 'REINDEX',
    CheckPointStmt: 'CHECKPOINT',
  }),
  ...rows(['session'], 'fine', { LockStmt: 'LOCK TABLE' }),
  ...rows(['ddl'], 'fine', { ReplicaIdentityStmt: 'ALTER TABLE' }),
]);

/** A column's or constraint's change counts as its relation's. */
function renameVerb(fields: Fields): string {
  const type = text(fields, 'renameType');
  const part = type === 'OBJECT_COLUMN' || type === 'OBJECT_TABCONSTRAINT' || type === 'OBJECT_ATTRIBUTE';
  const relationType = text(fields, 'relationType');
  return `ALTER ${objectWords(part && relationType !== '' ? relationType : type)}`;
}

/** Relations that DROP or COMMENT name by lists of names. */
export function listedRelations(node: Node): { readonly schema: string | null; readonly name: string }[] {
  if ('CommentStmt' in node) return commented(node.CommentStmt);
  if ('SecLabelStmt' in node) return commented(node.SecLabelStmt);
  if ('DropStmt' in node) {
    const { removeType, objects = [] } = node.DropStmt;
    if (!isRelationType(removeType)) return namesOfParts(objects, removeType);
    return objects.flatMap((object) => ('List' in object ? [last(strings(object.List.items))] : []));
  }
  return [];
}

function commented({ objtype, object }: { readonly objtype?: string; readonly object?: Node }) {
  if (object === undefined || !('List' in object)) return [];
  if (isRelationType(objtype)) return [last(strings(object.List.items))];
  return objtype === 'OBJECT_COLUMN'
    ? [last(strings(object.List.items).slice(0, -1))]
    : namesOfParts([object], objtype);
}

/** A trigger, rule or policy is dropped as `schema.table.name`. */
function namesOfParts(objects: readonly Node[], type: string | undefined) {
  if (type !== 'OBJECT_TRIGGER' && type !== 'OBJECT_RULE' && type !== 'OBJECT_POLICY') return [];
  return objects.flatMap((object) =>
    'List' in object ? [last(strings(object.List.items).slice(0, -1))] : [],
  );
}

function last(parts: readonly string[]): { schema: string | null; name: string } {
  return { schema: parts.at(-2) ?? null, name: parts.at(-1) ?? '' };
}
