/** Who may import whom (ARCHITECTURE.md, "Rooms"). Tests may import anything. */
const protocols = ['postgres', 'kubernetes', 'ssh', 'http', 'mysql', 'redis', 'mongodb'];
const test = '\\.test\\.ts$';

function forbid(name, comment, from, to) {
  return { name, comment, severity: 'error', from: { pathNot: test, ...from }, to };
}

module.exports = {
  forbidden: [
    forbid(
      'crds-alone',
      'crds imports nothing of ours',
      { path: '^crds/' },
      { path: '^(operator|sidecar|cli|e2e|bench)/' },
    ),
    forbid(
      'sidecar-alone',
      'sidecar never imports operator, cli, e2e or bench',
      { path: '^sidecar/', pathNot: `${test}|/generate-builtins\\.ts$` },
      { path: '^(operator|cli|e2e|bench)/' },
    ),
    forbid(
      'operator',
      'operator imports crds and sidecar',
      { path: '^operator/' },
      { path: '^(cli|e2e|bench)/' },
    ),
    forbid(
      'product-without-tests',
      'the product never imports its tests',
      { path: '^cli/' },
      { path: '^(e2e|bench)/' },
    ),
    forbid(
      'policy',
      'policy sees crds and operation, nothing else',
      { path: '^sidecar/policy/' },
      { path: '^sidecar/', pathNot: '^sidecar/(policy/|operation\\.ts$|mask/mask\\.ts$)' },
    ),
    forbid(
      'mask',
      'masks know no protocol',
      { path: '^sidecar/mask/' },
      { path: '^sidecar/', pathNot: '^sidecar/(mask/|operation\\.ts$)' },
    ),
    forbid(
      'pipeline',
      'the pipeline knows no protocol',
      { path: '^sidecar/pipeline\\.ts$' },
      { path: `^sidecar/(${protocols.join('|')})/` },
    ),
    forbid(
      'adapter-without-policy',
      'an adapter knows no policy: the pipeline decides',
      { path: `^sidecar/(${protocols.join('|')})/` },
      { path: '^sidecar/policy/' },
    ),
    ...protocols.map((protocol) =>
      forbid(
        `${protocol}-alone`,
        'protocol folders never import each other',
        { path: `^sidecar/${protocol}/` },
        {
          path: `^sidecar/(${protocols.filter((other) => other !== protocol).join('|')})/`,
        },
      ),
    ),
    forbid(
      'no-dev',
      'the product uses no development dependency',
      { path: '^(crds|operator|sidecar|cli)/', pathNot: `${test}|/generate|testing|sample-session|fixture` },
      {
        dependencyTypes: ['npm-dev'],
        dependencyTypesNot: ['type-only'],
        pathNot: 'node_modules/(@types|@pgsql)/',
      },
    ),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|\\.cache|node_modules)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.mjs', '.cjs', '.json'] },
  },
};
