/** Bundles the programs with esbuild into `dist/`, as run from a checkout and as put into images. */
import { chmod, copyFile, mkdir, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { build, type BuildOptions, type Plugin } from 'esbuild';

const require = createRequire(import.meta.url);
await mkdir('dist', { recursive: true });
/** The AWS SDK is a bundle of its own, loaded when a store is talked to: no program's start or memory pays for it. */
const storeApart: Plugin = {
  name: 'store-apart',
  setup(bundle) {
    bundle.onResolve({ filter: /\/sdk\.ts$/ }, ({ kind, importer }) =>
      kind === 'dynamic-import' && importer.endsWith('bucket.ts')
        ? { path: './object-store-sdk.mjs', external: true }
        : undefined,
    );
  },
};
const options: BuildOptions = {
  entryPoints: {
    sidewarden: 'cli/main.ts',
    sidecar: 'sidecar/main.ts',
    operator: 'operator/main.ts',
    'kubectl-sidewarden': 'cli/kubectl/main.ts',
    'object-store-sdk': 'sidecar/record/object-store/sdk.ts',
  },
  plugins: [storeApart],
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  sourcemap: 'linked',
  // V8 keeps the source in memory: blanks and comments are left out, names stay for stack traces.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  logLevel: 'warning',
  banner: {
    js: "#!/usr/bin/env node\nimport { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);\nimport { dirname as __pathDirname } from 'node:path';\nimport { fileURLToPath as __toPath } from 'node:url';\nconst __filename = __toPath(import.meta.url);\nconst __dirname = __pathDirname(__filename);",
  },
};
await build(options);
// The parser's WebAssembly is read from beside the bundle.
const parser = dirname(require.resolve('libpg-query'));
await copyFile(join(parser, 'libpg-query.wasm'), join('dist', 'libpg-query.wasm'));
// kubectl finds its plugins by name on the PATH.
const plugin = join('dist', 'kubectl-sidewarden');
await chmod(`${plugin}.mjs`, 0o755);
await rm(plugin, { force: true });
// Another build may be faster.
await symlink('kubectl-sidewarden.mjs', plugin).catch(() => undefined);
