/** `x-kubernetes-validations`, evaluated as kube-apiserver does. */
import { Environment } from '@marcbachmann/cel-js';
import type { Findings } from './failure.ts';
import type { Path } from './path.ts';
import type { Node, Rule } from './schema.ts';

type Program = (context: Record<string, unknown>) => unknown;

const environment = new Environment({ unlistedVariablesAreDyn: false })
  .registerVariable('self', 'dyn')
  .registerVariable('oldSelf', 'dyn');
const programs = new Map<string, Program>();

function programOf(rule: string): Program {
  let program = programs.get(rule);
  if (program === undefined) {
    const parsed = environment.parse(rule);
    program = (context) => parsed(context);
    programs.set(rule, program);
  }
  return program;
}

/** Whether a rule is about a change, and so is not checked when an object is made. */
function isTransition(rule: Rule): boolean {
  return /\boldSelf\b/u.test(rule.rule);
}

/** Checks the rules of one value that has already been found well-formed. `old` is undefined when it is new. */
export function checkRules(node: Node, value: unknown, old: unknown, path: Path, findings: Findings): void {
  for (const rule of node.rules ?? []) {
    const transition = isTransition(rule);
    if (transition && old === undefined) continue;
    const context: Record<string, unknown> = { self: toCel(node, value) };
    if (transition) context['oldSelf'] = toCel(node, old);
    if (!holds(rule, context)) {
      findings.add(rule.field === undefined ? path : [...path, rule.field], rule.message);
    }
  }
}

/** A rule that cannot be evaluated does not hold, as in kube-apiserver. */
function holds(rule: Rule, context: Record<string, unknown>): boolean {
  try {
    return programOf(rule.rule)(context) === true;
  } catch {
    return false;
  }
}

/** CEL's integers are bigints here; what is free stays out of its sight. */
function toCel(node: Node, value: unknown): unknown {
  if (value === null || value === undefined) return null;
  switch (node.kind) {
    case 'integer':
      return typeof value === 'number' ? BigInt(value) : value;
    case 'string':
    case 'boolean':
      return value;
    case 'free':
      return {};
    case 'list':
      return Array.isArray(value) ? value.map((item) => toCel(node.items, item)) : [];
    case 'map':
      return Object.fromEntries(entriesOf(value).map(([key, item]) => [key, toCel(node.values, item)]));
    case 'object':
      return Object.fromEntries(
        entriesOf(value).map(([key, item]) => {
          const field = node.fields[key];
          return [key, field === undefined ? null : toCel(field.schema, item)];
        }),
      );
  }
}

function entriesOf(value: unknown): readonly [string, unknown][] {
  return typeof value === 'object' && value !== null ? Object.entries(value) : [];
}
