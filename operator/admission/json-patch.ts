/** JSON Patch (RFC 6902) from a value before to a value after. Lists of another length are replaced whole. */
import { isJson, own, sameJson } from './json.ts';

type PatchOperation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

/** Empty when both are equal. */
export function jsonPatch(before: unknown, after: unknown, path = ''): readonly PatchOperation[] {
  if (sameJson(before, after)) return [];
  if (isJson(before) && isJson(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].flatMap((key) => fieldPatch(own(before, key), own(after, key), `${path}/${token(key)}`));
  }
  if (Array.isArray(before) && Array.isArray(after) && before.length === after.length) {
    return after.flatMap((item, index) => jsonPatch(before[index], item, `${path}/${index}`));
  }
  return [{ op: 'replace', path, value: after }];
}

function fieldPatch(before: unknown, after: unknown, path: string): readonly PatchOperation[] {
  if (after === undefined) return before === undefined ? [] : [{ op: 'remove', path }];
  return before === undefined ? [{ op: 'add', path, value: after }] : jsonPatch(before, after, path);
}

/** RFC 6901. */
function token(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
