/** Names, and how one object points at another in its own namespace. */
import { list, map, object, optional, choice, required, text, type Schema } from './schema.ts';

const DNS_SUBDOMAIN = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$';
const DNS_LABEL = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$';

/** The name of an object: a DNS subdomain. */
export function objectName(description: string): Schema<string> {
  return text(description, {
    minLength: 1,
    maxLength: 253,
    pattern: DNS_SUBDOMAIN,
    patternMessage:
      'must be lower-case letters, digits, "-" and ".", beginning and ending with a letter or digit',
  });
}

/** The name of a namespace: a DNS label. */
export function namespaceName(description: string): Schema<string> {
  return text(description, {
    minLength: 1,
    maxLength: 63,
    pattern: DNS_LABEL,
    patternMessage: 'must be lower-case letters, digits and "-", beginning and ending with a letter or digit',
  });
}

const key = text('Key within it.', {
  minLength: 1,
  maxLength: 253,
  pattern: '^[-._a-zA-Z0-9]+$',
  patternMessage: 'must be letters, digits, "-", "_" and "."',
});

export const nameReference = (description: string) =>
  object(description, { name: required(objectName('Name of the object, in the same namespace.')) });

export const keyReference = (description: string) =>
  object(description, {
    name: required(objectName('Name of the object, in the same namespace.')),
    key: required(key),
  });

const labelValue = text('A label value.', {
  maxLength: 63,
  pattern: '^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$',
  patternMessage: 'must be a label value',
});

const labelKey = text('The label.', { minLength: 1, maxLength: 317 });

const labelRequirement = object(
  'One condition on a label.',
  {
    key: required(labelKey),
    operator: required(
      choice('How the label relates to the values.', ['In', 'NotIn', 'Exists', 'DoesNotExist']),
    ),
    values: optional(list('For In and NotIn.', labelValue, { maxItems: 64 })),
  },
  [
    {
      rule: "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
      message: 'In and NotIn need values; Exists and DoesNotExist take none',
      field: 'values',
    },
  ],
);

/** A Kubernetes label selector: all conditions must hold; an empty one selects everything. */
export const labelSelector = (description: string) =>
  object(description, {
    matchLabels: optional(
      map('Labels that must have exactly these values.', labelValue, { maxProperties: 64 }),
    ),
    matchExpressions: optional(list('Further conditions.', labelRequirement, { maxItems: 32 })),
  });
