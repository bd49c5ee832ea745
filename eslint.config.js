import js from '@eslint/js';
import importX from 'eslint-plugin-import-x';
import tseslint from 'typescript-eslint';

/** Who may import whom (ARCHITECTURE.md, "Rooms"): each zone names what its target must not reach. */
const protocols = ['postgres', 'kubernetes', 'ssh', 'http', 'mysql', 'redis', 'mongodb'];
const everyRoom = ['operator', 'sidecar', 'cli', 'e2e', 'bench'];
const zones = [
  { target: './crds', from: everyRoom.map((room) => `./${room}`), message: 'crds imports nothing of ours' },
  { target: './sidecar', from: ['./operator', './cli', './bench', './e2e'], message: 'sidecar stands alone' },
  { target: './operator', from: ['./cli', './bench', './e2e'], message: 'operator imports crds and sidecar' },
  {
    target: './sidecar/policy',
    from: './sidecar',
    except: ['./policy', './operation.ts', './mask/mask.ts'],
    message: 'policy sees crds and operation, nothing else',
  },
  ...protocols.map((protocol) => ({
    target: `./sidecar/${protocol}`,
    from: protocols.filter((other) => other !== protocol).map((other) => `./sidecar/${other}`),
    message: 'protocol folders never import each other',
  })),
  {
    target: './sidecar/pipeline.ts',
    from: protocols.map((protocol) => `./sidecar/${protocol}`),
    message: 'the pipeline knows no protocol',
  },
  {
    target: './sidecar/postgres',
    from: './sidecar/policy',
    message: 'an adapter knows no policy: the pipeline decides',
  },
];

const mainOnly = [
  { object: 'process', property: 'env', message: 'only a main reads the environment' },
  { object: 'process', property: 'argv', message: 'only a main reads arguments' },
];

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', '.cache/', 'eslint.config.js', '**/*.mjs'] },
  js.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { 'import-x': importX },
    settings: { 'import-x/resolver-next': [] },
    rules: {
      'import-x/no-restricted-paths': ['error', { zones }],
      'import-x/no-default-export': 'error',
      'no-restricted-properties': ['error', ...mainOnly],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true, requireDefaultForNonUnion: false },
      ],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/prefer-promise-reject-errors': 'error',
      '@typescript-eslint/no-unnecessary-condition': ['error', { allowConstantLoopConditions: true }],
      '@typescript-eslint/require-await': 'off',
      'no-control-regex': 'off',
      'max-lines': ['warn', { max: 400, skipBlankLines: true, skipComments: true }],
    },
  },
  {
    files: ['**/main.ts', 'e2e/**', 'bench/**', '**/*.test.ts', 'crds/generate.ts', 'build.ts'],
    rules: { 'no-restricted-properties': 'off' },
  },
  {
    files: ['**/*.test.ts', 'e2e/**', 'bench/**'],
    rules: {
      'import-x/no-restricted-paths': 'off',
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            {
              from: 'package',
              name: ['test', 'it', 'describe', 'suite', 'before', 'after', 'beforeEach', 'afterEach'],
              package: 'node:test',
            },
          ],
        },
      ],
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
    },
  },
);
