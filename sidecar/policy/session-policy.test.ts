import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { AccessPolicySpec, PolicyRule } from '../../crds/policy.ts';
import type { Decision } from '../operation.ts';
import { compilePolicies } from './compile.ts';
import { CONNECTION, IDENTITY, compiled, policy, rule, session, sqlFacts, statement } from './testing.ts';

const NOW = Date.parse('2026-11-21T11:30:00Z');
type Kind = Decision['kind'];

function decide(sources: readonly Partial<AccessPolicySpec>[]): Decision {
  return session(...sources.map((spec, index) => policy(`p${index}`, spec))).decide(sqlFacts(), NOW);
}

function refs(decision: Decision): readonly string[] {
  return decision.rules.map((ref) => `${ref.policy}#${ref.rule}`);
}

const YES = 'sql.verb == "SELECT"';
const NO = 'sql.verb == "DROP TABLE"';
const BAD = 'identity.claims.nope == 1';
const allow = rule('allow', YES, 'Allow');
const hold = rule('hold', YES, 'Hold');
const deny = rule('deny', YES, 'Deny');

describe('combination', () => {
  const table: readonly (readonly [
    name: string,
    sources: readonly Partial<AccessPolicySpec>[],
    Kind,
    ...rules: string[],
  ])[] = [
    ['no policy', [], 'deny'],
    ['no rule', [{}], 'deny'],
    ['no rule, default Allow', [{ default: 'Allow' }], 'allow'],
    ['one default of two is Deny', [{ default: 'Allow' }, { default: 'Deny' }], 'deny'],
    ['both defaults are Allow', [{ default: 'Allow' }, { default: 'Allow' }], 'allow'],
    ['no rule matches', [{ rules: [rule('no', NO, 'Allow')] }], 'deny'],
    ['allow', [{ rules: [allow] }], 'allow', 'allow'],
    ['allow beats another default', [{ rules: [allow] }, { default: 'Deny' }], 'allow', 'allow'],
    ['hold beats allow', [{ rules: [allow, hold] }], 'hold', 'hold'],
    [
      'hold beats allow of another policy',
      [{ rules: [hold] }, { rules: [allow], default: 'Allow' }],
      'hold',
      'hold',
    ],
    ['deny beats hold and allow', [{ rules: [allow, hold, deny] }], 'deny', 'deny'],
    ['deny of another policy', [{ rules: [allow] }, { rules: [deny] }], 'deny', 'deny'],
    ['deny beats default Allow', [{ default: 'Allow', rules: [deny] }], 'deny', 'deny'],
    [
      'a failing Allow rule denies',
      [{ default: 'Allow', rules: [allow, rule('bad', BAD, 'Allow')] }],
      'deny',
      'bad',
    ],
    ['a failing Hold rule denies', [{ rules: [allow, rule('bad', BAD, 'Hold')] }], 'deny', 'bad'],
    ['a failing Deny rule denies', [{ rules: [allow, rule('bad', BAD, 'Deny')] }], 'deny', 'bad'],
    ['a policy that observes only', [{ mode: 'Observe', rules: [deny] }], 'allow'],
    [
      'one observes, one enforces',
      [{ mode: 'Observe', rules: [deny] }, { rules: [allow] }],
      'allow',
      'allow',
    ],
    ['observing lends no permission', [{ mode: 'Observe', rules: [allow], default: 'Allow' }, {}], 'deny'],
  ];
  for (const [name, sources, kind, ...rules] of table) {
    test(name, () => {
      const decision = decide(sources);
      assert.equal(decision.kind, kind);
      assert.deepEqual(
        decision.rules.map((ref) => ref.rule),
        rules,
      );
    });
  }

  test('every matching rule is named', () => {
    const decision = decide([{ rules: [deny, rule('also', 'true', 'Deny')] }, { rules: [deny] }]);
    assert.deepEqual(refs(decision), [
      'production-access/p0#deny',
      'production-access/p0#also',
      'production-access/p1#deny',
    ]);
  });

  test('policies of others do not count', () => {
    const policies = compiled(policy('others', { subjects: [{ users: ['someone'] }], rules: [allow] }));
    const decision = policies.forSession(IDENTITY, CONNECTION).decide(sqlFacts(), NOW);
    assert.ok(decision.kind === 'deny');
    assert.match(decision.message, /no policy lets agent use connection production-access\/orders-db/);
  });
});

describe('Observe', () => {
  test('says what would have happened, by policy', () => {
    const decision = decide([
      { mode: 'Observe', rules: [deny] },
      { mode: 'Observe', rules: [hold, allow] },
      { mode: 'Observe', default: 'Allow' },
      { mode: 'Observe', rules: [rule('bad', BAD, 'Allow')] },
      { rules: [allow] },
    ]);
    assert.equal(decision.kind, 'allow');
    assert.deepEqual(
      decision.observed.map(({ policy: id, would, rules }) => [id, would, rules.map((ref) => ref.rule)]),
      [
        ['production-access/p0', 'deny', ['deny']],
        ['production-access/p1', 'hold', ['hold']],
        ['production-access/p2', 'allow', []],
        ['production-access/p3', 'deny', ['bad']],
      ],
    );
  });
});

describe('holds', () => {
  const asking = (
    name: string,
    groups: string[],
    timeout: string,
    inTransaction: 'Wait' | 'Auto' | 'Refuse',
  ) => rule(name, 'true', 'Hold', { hold: { approvers: { users: [], groups }, timeout, inTransaction } });

  test('all requirements are listed; the same approvers are asked once, with the shortest timeout', () => {
    const decision = decide([
      { rules: [asking('one', ['dba', 'leads'], '15m', 'Wait'), asking('two', ['security'], '1h', 'Auto')] },
      { rules: [asking('three', ['leads', 'dba'], '5m', 'Refuse')] },
    ]);
    assert.ok(decision.kind === 'hold');
    assert.equal(decision.rules.length, 3);
    assert.deepEqual(decision.requirements, [
      {
        rule: { policy: 'production-access/p0', rule: 'one' },
        approvers: { users: [], groups: ['dba', 'leads'] },
        timeout: 300_000,
        inTransaction: 'Refuse',
      },
      {
        rule: { policy: 'production-access/p0', rule: 'two' },
        approvers: { users: [], groups: ['security'] },
        timeout: 3_600_000,
        inTransaction: 'Auto',
      },
    ]);
  });
});

describe('memo', () => {
  test('a static decision is kept by statement', () => {
    const kept = session(policy('p', { rules: [allow] }));
    const one = statement();
    const first = kept.decide(sqlFacts({ statement: one, parameters: ['1'] }), NOW);
    assert.equal(kept.decide(sqlFacts({ statement: one, parameters: ['2'], role: 'x' }), NOW + 1), first);
    assert.notEqual(kept.decide(sqlFacts({ statement: statement() }), NOW), first);
  });

  test('dynamic rules are evaluated again, static ones stay', () => {
    const one = statement();
    const cases: readonly (readonly [
      when: string,
      yes: Parameters<typeof sqlFacts>[0],
      no: Parameters<typeof sqlFacts>[0],
    ])[] = [
      ['sql.parameters[0] == "7"', { parameters: ['7'] }, { parameters: ['8'] }],
      ['sql.role == "owner"', { role: 'owner' }, { role: 'app' }],
      ['sql.inTransaction', { inTransaction: true }, { inTransaction: false }],
    ];
    for (const [when, yes, no] of cases) {
      const subject = session(policy('p', { rules: [allow, rule('dynamic', when, 'Deny')] }));
      for (const [facts, kind] of [
        [yes, 'deny'],
        [no, 'allow'],
        [yes, 'deny'],
        [no, 'allow'],
      ] as const) {
        assert.equal(subject.decide(sqlFacts({ ...facts, statement: one }), NOW).kind, kind, when);
      }
    }
  });

  test('statements alike in all but one fact are not confused', () => {
    const verbs = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'];
    const rules = [
      ...verbs.map((verb) =>
        rule(verb, `sql.verb == "${verb}" && sql.tables.exists(t, t.name == "a")`, 'Allow'),
      ),
      rule('text', 'sql.text.contains("secret")', 'Deny'),
      rule('indirect', 'sql.tables.exists(t, t.indirect)', 'Hold'),
    ];
    const subject = session(policy('p', { rules }));
    const kind = (verb: string, name: string, text: string, indirect = false) => {
      const tables = [{ name, access: ['read' as const], indirect }];
      return subject.decide(sqlFacts({ statement: statement({ verb, tables, text }) }), NOW).kind;
    };
    for (let round = 0; round < 2; round++) {
      for (const verb of verbs) {
        assert.equal(kind(verb, 'a', `1${round}`), 'allow');
        assert.equal(kind(verb, 'b', `1${round}`), 'deny');
        assert.equal(kind(verb, 'a', 'secret'), 'deny');
        assert.equal(kind(verb, 'a', `1${round}`, true), 'hold');
      }
    }
  });

  test('the time counts', () => {
    const later = session(
      policy('p', { rules: [allow, rule('late', 'now > timestamp("2026-11-21T12:00:00Z")', 'Deny')] }),
    );
    const facts = sqlFacts();
    assert.equal(later.decide(facts, NOW).kind, 'allow');
    assert.equal(later.decide(facts, NOW + 3_600_000).kind, 'deny');
    assert.equal(later.decide(facts, NOW).kind, 'allow');
  });

  test('a dynamic rule of a policy that observes is evaluated again', () => {
    const subject = session(
      policy('p', { rules: [allow] }),
      policy('w', { mode: 'Observe', default: 'Allow', rules: [rule('d', 'sql.inTransaction', 'Deny')] }),
    );
    const one = statement();
    const would = (inTransaction: boolean) =>
      subject
        .decide(sqlFacts({ statement: one, inTransaction }), NOW)
        .observed.map((observed) => observed.would);
    assert.deepEqual([would(false), would(true), would(false)], [['allow'], ['deny'], ['allow']]);
  });
});

describe('foresee', () => {
  const dynamicAllow = rule('values', 'sql.parameters.size() == 1', 'Allow');
  const table: readonly (readonly [
    name: string,
    sources: readonly Partial<AccessPolicySpec>[],
    Kind | undefined,
  ])[] = [
    ['no policy', [], 'deny'],
    ['a static Deny', [{ rules: [allow, deny] }], 'deny'],
    ['a static failure', [{ rules: [allow, rule('bad', BAD, 'Hold')] }], 'deny'],
    ['a static Deny beside a dynamic Allow', [{ rules: [dynamicAllow, deny] }], 'deny'],
    ['the default, and nothing can let through', [{ rules: [rule('no', NO, 'Allow')] }], 'deny'],
    ['the default, and only a dynamic Deny', [{ rules: [rule('d', 'sql.inTransaction', 'Deny')] }], 'deny'],
    ['the default, but a dynamic Allow', [{ rules: [dynamicAllow] }], undefined],
    ['the default, but a dynamic Hold', [{ rules: [rule('h', 'sql.inTransaction', 'Hold')] }], undefined],
    ['a static Allow', [{ rules: [allow] }], undefined],
    ['a static Hold', [{ rules: [hold] }], undefined],
    ['default Allow', [{ default: 'Allow' }], undefined],
    ['a Deny that only observes', [{ mode: 'Observe', rules: [deny] }], undefined],
  ];
  for (const [name, sources, kind] of table) {
    test(name, () => {
      const subject = session(...sources.map((spec, index) => policy(`p${index}`, spec)));
      assert.equal(subject.foresee(sqlFacts())?.kind, kind);
    });
  }
});

describe('words', () => {
  const update = sqlFacts({
    statement: statement({
      verb: 'UPDATE',
      effects: ['read', 'write'],
      tables: [
        { name: 'public.orders', access: ['write'], indirect: false },
        { name: 'public.orders_2026', access: ['write'], indirect: true },
      ],
    }),
  });

  function words(rules: PolicyRule[]) {
    const decision = session(policy('p', { rules })).decide(update, NOW);
    assert.ok(decision.kind === 'deny');
    return [decision.message, decision.hint];
  }

  test("a rule's own", () => {
    assert.deepEqual(
      words([rule('d', 'true', 'Deny', { message: 'no writes', hint: 'read' }), rule('e', 'true', 'Deny')]),
      ['no writes', 'read'],
    );
  });

  test('by default', () => {
    assert.deepEqual(words([rule('d', 'true', 'Deny')]), [
      'UPDATE on public.orders is denied',
      'No rule allows UPDATE, and none asks for an approval of it: ask the platform team if it is needed.',
    ]);
    assert.deepEqual(
      words([
        rule('small', 'sql.verb == "UPDATE" && sql.text == ""', 'Allow'),
        rule('big', "'write' in sql.effects && sql.text == ''", 'Hold'),
        rule('other', 'sql.verb == "DELETE"', 'Hold'),
      ]),
      [
        'UPDATE on public.orders is not allowed by any rule',
        'UPDATE is allowed as rule small says, or with an approval as rule big says: write the statement so that it applies.',
      ],
    );
  });

  test('of a failure name the rule and no value', () => {
    const [message, hint] = words([rule('bad', 'int(sql.text) == 1', 'Allow')]);
    assert.equal(message, 'UPDATE on public.orders is refused: a rule could not be evaluated');
    assert.equal(
      hint,
      'Tell the platform team that this rule fails: policy production-access/p, rule bad (a value out of range).',
    );
  });

  test('names that would deceive a terminal are escaped', () => {
    const tables = [{ name: 'public.\u202ex\u001b[2J', access: ['read' as const], indirect: false }];
    const decision = session(policy('p', {})).decide(sqlFacts({ statement: statement({ tables }) }), NOW);
    assert.ok(decision.kind === 'deny');
    assert.match(decision.message, /^SELECT on public\.\\u\{202e\}x\\u\{1b\}\[2J is not/);
  });
});

test('all problems of all policies at once', () => {
  const result = compilePolicies([
    policy('one', { rules: [rule('a', 'sql.nope == 1', 'Allow'), rule('a', 'foo() || bar()', 'Deny')] }),
    policy('two', {
      rules: [rule('b', 'sql.verb ==', 'Allow')],
      masks: [{ columns: ['nonsense'], with: 'Redact' }],
    }),
    policy('one', {}),
  ]);
  assert.ok(result.kind === 'refused');
  assert.deepEqual(
    result.problems.map(({ policy: id, rule: name, path }) => [id, name, path]),
    [
      ['production-access/one', 'a', 'spec.rules[0].when'],
      ['production-access/one', 'a', 'spec.rules[1].name'],
      ['production-access/one', 'a', 'spec.rules[1].when'],
      ['production-access/one', 'a', 'spec.rules[1].when'],
      ['production-access/two', 'b', 'spec.rules[0].when'],
      ['production-access/two', '', 'spec.masks[0].columns[0]'],
      ['production-access/one', '', 'metadata.name'],
    ],
  );
});

const WHENS = [
  YES,
  NO,
  BAD,
  'true',
  'false',
  'sql.inTransaction',
  'sql.parameters.exists(p, p == "1")',
  'sql.parameters[0] == "1"',
  'sql.role == "app"',
  'now > timestamp("2026-01-01T00:00:00Z")',
  '"write" in sql.effects',
];
const PERMISSIVE: Readonly<Record<Kind, number>> = { deny: 0, hold: 1, allow: 2 };

const arbitraryRules = fc
  .array(fc.tuple(fc.constantFrom(...WHENS), fc.constantFrom('Allow', 'Hold', 'Deny')), { maxLength: 5 })
  .map((rules) => rules.map(([when, action], index) => rule(`r${index}`, when, action)));
const arbitraryPolicies = fc.array(
  fc.record({
    default: fc.constantFrom('Allow', 'Deny'),
    mode: fc.constantFrom('Enforce', 'Enforce', 'Observe'),
    rules: arbitraryRules,
  }),
  { minLength: 1, maxLength: 3 },
);
const arbitraryFacts = fc
  .record({
    parameters: fc.array(fc.constantFrom('1', '2', null), { maxLength: 2 }),
    role: fc.constantFrom('app', 'owner'),
    inTransaction: fc.boolean(),
    verb: fc.constantFrom('SELECT', 'DROP TABLE'),
  })
  .map(({ verb, ...facts }) => sqlFacts({ ...facts, statement: statement({ verb }) }));

test('a Deny rule, wherever it is added, never lets more through', () => {
  fc.assert(
    fc.property(
      arbitraryPolicies,
      fc.nat(),
      fc.constantFrom(...WHENS),
      arbitraryFacts,
      (specs, at, when, facts) => {
        const enforcing = specs.map((spec, index) => ({
          ...spec,
          mode: index === 0 ? ('Enforce' as const) : spec.mode,
        }));
        const before = session(...enforcing.map((spec, index) => policy(`p${index}`, spec))).decide(
          facts,
          NOW,
        );
        const stricter = enforcing.map((spec, index) =>
          index === at % enforcing.length
            ? { ...spec, rules: [...spec.rules, rule('more', when, 'Deny')] }
            : spec,
        );
        const after = session(...stricter.map((spec, index) => policy(`p${index}`, spec))).decide(facts, NOW);
        assert.ok(PERMISSIVE[after.kind] <= PERMISSIVE[before.kind]);
      },
    ),
    { numRuns: 300 },
  );
});

test('what was foreseen comes true, whatever the values; the memo changes nothing', () => {
  fc.assert(
    fc.property(
      arbitraryPolicies,
      fc.array(arbitraryFacts, { minLength: 2, maxLength: 4 }),
      (specs, many) => {
        const sources = specs.map((spec, index) => policy(`p${index}`, spec));
        const shared = session(...sources);
        const one = statement();
        for (const facts of many) {
          const same = sqlFacts({ ...facts.sql, statement: one });
          const decision = shared.decide(same, NOW);
          assert.deepEqual(decision, session(...sources).decide(same, NOW));
          if (shared.foresee(same) !== undefined) assert.equal(decision.kind, 'deny');
        }
      },
    ),
    { numRuns: 300 },
  );
});
