/** OpenAPI v3 structural schemas and whole CRDs, as kube-apiserver takes them. */
import { GROUP, VERSION, type Kind, type PrinterColumn } from './kind.ts';
import type { FieldNode, FreeNode, ListNode, Node, ObjectNode, Rule, StringNode } from './schema.ts';

type Json = Readonly<Record<string, unknown>>;

/** The `CustomResourceDefinition` of a kind, as plain data. */
export function crdOf(kind: Kind): Json {
  const { names } = kind;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${names.plural}.${GROUP}` },
    spec: {
      group: GROUP,
      names: { ...names, listKind: `${names.kind}List` },
      scope: 'Namespaced',
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: rootSchema(kind) },
          subresources: { status: {} },
          additionalPrinterColumns: kind.columns.map(printerColumn),
        },
      ],
    },
  };
}

function printerColumn(column: PrinterColumn): Json {
  return { ...column, priority: column.priority ?? 0 };
}

function rootSchema(kind: Kind): Json {
  return {
    type: 'object',
    description: kind.description,
    required: ['spec'],
    properties: {
      apiVersion: { type: 'string', description: 'Group and version of the schema.' },
      kind: { type: 'string', description: 'The kind of the object.' },
      metadata: { type: 'object' },
      spec: openApi(kind.spec),
      status: openApi(kind.status),
    },
  };
}

/** One node as a structural schema. */
function openApi(node: Node): Json {
  return { ...kindOf(node), ...common(node) };
}

function common(node: Node): Json {
  return {
    description: node.description,
    ...(node.nullable === true ? { nullable: true } : {}),
    ...(node.rules === undefined ? {} : { 'x-kubernetes-validations': node.rules.map(validation) }),
  };
}

function validation({ rule, message, field }: Rule): Json {
  return { rule, message, ...(field === undefined ? {} : { fieldPath: `.${field}` }) };
}

function kindOf(node: Node): Json {
  switch (node.kind) {
    case 'string':
      return stringSchema(node);
    case 'integer':
      return { type: 'integer', format: 'int64', minimum: node.minimum, maximum: node.maximum };
    case 'boolean':
      return { type: 'boolean' };
    case 'list':
      return listSchema(node);
    case 'map':
      return {
        type: 'object',
        maxProperties: node.maxProperties,
        additionalProperties: openApi(node.values),
      };
    case 'free':
      return freeSchema(node);
    case 'object':
      return objectSchema(node);
  }
}

function stringSchema({ minLength, maxLength, pattern, format, values }: StringNode): Json {
  return {
    type: 'string',
    ...(minLength === undefined ? {} : { minLength }),
    ...(maxLength === undefined ? {} : { maxLength }),
    ...(pattern === undefined ? {} : { pattern }),
    ...(format === undefined ? {} : { format }),
    ...(values === undefined ? {} : { enum: values }),
  };
}

function freeSchema({ minProperties }: FreeNode): Json {
  const bounds = minProperties === undefined ? {} : { minProperties };
  return { type: 'object', ...bounds, 'x-kubernetes-preserve-unknown-fields': true };
}

function listSchema({ items, minItems, maxItems, unique }: ListNode): Json {
  return {
    type: 'array',
    items: openApi(items),
    ...(minItems === undefined ? {} : { minItems }),
    maxItems,
    ...listType(unique),
  };
}

function listType(unique: ListNode['unique']): Json {
  if (unique === undefined) return { 'x-kubernetes-list-type': 'atomic' };
  if (unique === 'set') return { 'x-kubernetes-list-type': 'set' };
  return { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': [unique.key] };
}

function objectSchema(node: ObjectNode): Json {
  const fields = Object.entries(node.fields);
  const required = fields.filter(([, field]) => field.presence === 'required').map(([name]) => name);
  return {
    type: 'object',
    ...(required.length === 0 ? {} : { required }),
    ...(fields.length === 0
      ? {}
      : { properties: Object.fromEntries(fields.map(([name, field]) => [name, fieldSchema(field)])) }),
  };
}

function fieldSchema(field: FieldNode): Json {
  const schema = openApi(field.schema);
  return field.presence === 'default' ? { ...schema, default: field.value } : schema;
}
