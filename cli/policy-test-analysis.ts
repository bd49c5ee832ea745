/** Analyses the texts of policy tests against a catalog made from CREATE statements. */
import type { MaskRules } from '../sidecar/mask/mask.ts';
import { catalogView } from '../sidecar/postgres/catalog/view.ts';
import { analyze } from '../sidecar/postgres/sql/analyze.ts';
import { loadParser } from '../sidecar/postgres/sql/parser.ts';
import type { SessionNames } from '../sidecar/postgres/sql/statement.ts';
import { catalogOfDdl } from './ddl-catalog.ts';
import type { AnalysedText } from './policy-test-run.ts';

export type Analyser =
  | { readonly kind: 'analyser'; readonly analyse: (text: string, masks: MaskRules) => AnalysedText }
  | { readonly kind: 'invalid'; readonly problems: readonly string[] };

/** Each statement of a test stands for itself: nothing was prepared or declared before it. */
const NO_NAMES: SessionNames = { preparedStatement: () => undefined, cursor: () => undefined };

export async function textAnalyser(ddl: string, searchPath: readonly string[]): Promise<Analyser> {
  await loadParser();
  const made = catalogOfDdl(ddl);
  if (made.kind === 'invalid') return made;
  const catalog = catalogView(made.loaded, searchPath, null);
  return {
    kind: 'analyser',
    analyse: (text, masks) => {
      const analysis = analyze(text, { catalog, masks, names: NO_NAMES });
      switch (analysis.kind) {
        case 'parsed':
          return { kind: 'statements', statements: analysis.statements };
        case 'unparseable':
          return { kind: 'unparseable', message: analysis.message };
        case 'needs':
          return { kind: 'unknown', message: 'it needs more of the catalog than CREATE statements say' };
      }
    },
  };
}
