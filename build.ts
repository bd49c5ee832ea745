/** Bundles the programs with esbuild into `dist/`, as run from a checkout and as put into images. */
import { chmod, copyFile, mkdir, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { build, type BuildOptions, type Plugin } from 'esbuild';

const require = createRequire(import.meta.url);
await mkdir('dist', { recursive: true });
/** Bundles of their own, loaded when they are needed: no program's start or memory pays for them. */
const APART = new Map([
  ['sidecar/record/object-store/sdk.ts', 'object-store-sdk'],
  ['sidecar/identity/oidc.ts', 'oidc'],
  ['operator/kube/kubeconfig.ts', 'kubeconfig'],
]);
const apart: Plugin = {
  name: 'apart',
  setup(bundle) {
    bundle.onResolve({ filter: /^\..*\.ts$/ }, ({ kind, path, resolveDir }) => {
      const name = APART.get(relative(import.meta.dirname, resolve(resolveDir, path)));
      return kind === 'dynamic-import' && name !== undefined
        ? { path: `./${name}.mjs`, external: true }
        : undefined;
    });
  },
};
const options: BuildOptions = {
  entryPoints: {
    sidewarden: 'cli/main.ts',
    sidecar: 'sidecar/main.ts',
    operator: 'operator/main.ts',
    'kubectl-sidewarden': 'cli/kubectl/main.ts',
    ...Object.fromEntries([...APART].map(([source, name]) => [name, source])),
  },
  plugins: [apart],
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
