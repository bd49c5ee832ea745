/** Policies and connections read from manifest files for the `policy` commands: what can be used, and all that is wrong. */
import { stat } from 'node:fs/promises';
import { parseConnection, type ProtectedConnection } from '../crds/connection.ts';
import { parsePolicy } from '../crds/policy.ts';
import { parseFile, type ManifestDocument } from '../sidecar/manifests/document.ts';
import { readFolder } from '../sidecar/manifests/folder.ts';
import type { ManifestError } from '../sidecar/manifests/location.ts';
import { loadManifests } from '../sidecar/manifests/manifests.ts';
import { compilePolicies, type PolicySource } from '../sidecar/policy/compile.ts';
import { messageOf } from '../sidecar/policy/problem.ts';

const DEFAULT_NAMESPACE = 'default';

export interface PolicyFiles {
  readonly policies: readonly PolicySource[];
  readonly connections: readonly ProtectedConnection[];
  readonly files: number;
  /** Of manifests and expressions, by file, line and column. Nothing is to be run while there is one. */
  readonly errors: readonly ManifestError[];
}

/** Reads a file or folder. A file may name connections that stand in another one; a folder is whole. */
export async function readPolicyFiles(path: string): Promise<PolicyFiles> {
  const references = (await isFolder(path)) ? 'checked' : 'unchecked';
  const loaded = await loadManifests(path, { references });
  const folder = await readFolder(path);
  const documents = folder.files.flatMap((file) => parseFile(file).documents);
  const policies: PolicySource[] = [];
  const errors = [...(loaded.kind === 'invalid' ? loaded.errors : [])];
  for (const document of documents) {
    const policy = policyOf(document);
    if (policy === undefined) continue;
    policies.push(policy);
    errors.push(...expressionErrors(policy, document));
  }
  if (folder.files.length === 0 && errors.length === 0) errors.push(nothingIn(path));
  const connections = documents.flatMap(connectionOf);
  return { policies, connections, files: folder.files.length, errors: errors.sort(byPlace) };
}

function nothingIn(path: string): ManifestError {
  return { file: path, line: 0, column: 0, path: '', message: 'holds no manifest file (.yaml, .yml, .json)' };
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

function kindOf({ value }: ManifestDocument): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, 'kind') : undefined;
}

function policyOf(document: ManifestDocument): PolicySource | undefined {
  if (kindOf(document) !== 'AccessPolicy') return undefined;
  const parsed = parsePolicy(document.value);
  if (parsed.kind === 'invalid') return undefined;
  const { metadata, spec } = parsed.value;
  return { namespace: metadata.namespace ?? DEFAULT_NAMESPACE, name: metadata.name, spec };
}

function connectionOf(document: ManifestDocument): readonly ProtectedConnection[] {
  if (kindOf(document) !== 'ProtectedConnection') return [];
  const parsed = parseConnection(document.value);
  return parsed.kind === 'invalid' ? [] : [parsed.value];
}

/** Each policy by itself: names that are there twice are found by the loader, with both places. */
function expressionErrors(policy: PolicySource, { locator }: ManifestDocument): readonly ManifestError[] {
  const compilation = compilePolicies([policy]);
  if (compilation.kind === 'compiled') return [];
  return compilation.problems.map((problem) => ({
    ...locator.locate(problem.at, problem.offset),
    path: problem.path,
    message: `rule ${problem.rule}: ${messageOf(problem)}`,
  }));
}

function byPlace(a: ManifestError, b: ManifestError): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1;
  return a.line - b.line || a.column - b.column;
}
