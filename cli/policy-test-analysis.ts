/** Analyses the texts of policy tests against a catalog made from CREATE statements. */
import { catalogView } from '../sidecar/postgres/catalog/view.ts';
import { loadParser } from '../sidecar/postgres/sql/parser.ts';
import { catalogOfDdl } from './ddl-catalog.ts';
import type { AnalyseText } from './policy-test-run.ts';

export type Analyser =
  | { readonly kind: 'analyser'; readonly analyse: AnalyseText }
  | { readonly kind: 'invalid'; readonly problems: readonly string[] };

export async function textAnalyser(ddl: string, searchPath: readonly string[]): Promise<Analyser> {
  await loadParser();
  const catalog = catalogOfDdl(ddl);
  if (catalog.kind === 'invalid') return catalog;
  const view = catalogView(catalog.loaded, searchPath, null);
  return {
    kind: 'analyser',
    analyse: () => Promise.reject(new Error(`not yet: ${view.version}`)),
  };
}
