/** What an API server may do to a watch, by a server that does it. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { type Server, createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { KubeConfig } from '@kubernetes/client-node';
import pino from 'pino';
import { kubeconfigText } from '../../e2e/cluster/access.ts';
import { createAuthority } from '../../e2e/cluster/certificates.ts';
import { until } from '../../e2e/cluster/component.ts';
import { runInformer } from './informer.ts';
import { NAMESPACES } from './kube.ts';
import { Cache } from './store.ts';
import { Transport } from './transport.ts';

const log = pino({ level: 'silent' });

/** `name@version`, of which the uid is the name's unless `name/uid@version`. */
function object(text: string) {
  const [id = '', resourceVersion = ''] = text.split('@');
  const [name = '', uid = name] = id.split('/');
  const managedFields = [{ manager: 'x' }];
  return {
    metadata: { name, uid, resourceVersion, creationTimestamp: '2026-01-01T00:00:00Z', managedFields },
  };
}

const list = (version: string, ...items: string[]) => ({
  kind: 'NamespaceList',
  metadata: { resourceVersion: version },
  items: items.map(object),
});
const event = (type: string, text: string) => `${JSON.stringify({ type, object: object(text) })}\n`;
const bookmark = (version: string) =>
  `${JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: version } } })}\n`;
const status = (code: number) => ({ kind: 'Status', code, message: `status ${code}` });

type Answer = (response: ServerResponse) => void;
interface Step {
  /** Parts of the query that the request must have. */
  readonly asked: Readonly<Record<string, string>>;
  readonly answer: Answer;
}

const json =
  (body: unknown, code = 200): Answer =>
  (response) => {
    response.writeHead(code, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
const text =
  (code: number, body: string): Answer =>
  (response) => {
    response.writeHead(code);
    response.end(body);
  };
/** Stays open. */
const stream =
  (...parts: (string | Buffer)[]): Answer =>
  (response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    for (const part of parts) response.write(part);
    response.flushHeaders();
  };
const cut =
  (...parts: string[]): Answer =>
  (response) => {
    stream(...parts)(response);
    setTimeout(() => response.destroy(), 30);
  };

const lists: Step['asked'] = { limit: '200' };
const watches = (resourceVersion: string): Step['asked'] => ({ watch: 'true', resourceVersion });

interface Case {
  readonly name: string;
  readonly steps: readonly Step[];
  /** `name@version` of all that is in the cache at the end. */
  readonly cached: readonly string[];
  readonly told: readonly string[];
  /** Milliseconds in which a watch must begin. */
  readonly beginning?: number;
}

const cases: readonly Case[] = [
  {
    name: '410 as the answer to a watch',
    steps: [
      { asked: lists, answer: json(list('5', 'a@1', 'b@2')) },
      { asked: watches('5'), answer: json(status(410), 410) },
      { asked: lists, answer: json(list('9', 'b@2', 'c@8')) },
      { asked: watches('9'), answer: stream(event('ADDED', 'd@10')) },
    ],
    cached: ['b@2', 'c@8', 'd@10'],
    told: ['+a@1', '+b@2', '+c@8', '-a@1', '+d@10'],
  },
  {
    name: 'a watch that never begins',
    steps: [
      { asked: lists, answer: json(list('5', 'a@1')) },
      { asked: watches('5'), answer: () => undefined },
      { asked: lists, answer: json(list('6', 'b@6')) },
      { asked: watches('6'), answer: stream() },
    ],
    cached: ['b@6'],
    told: ['+a@1', '+b@6', '-a@1'],
    // For the second one too, which does begin.
    beginning: 5_000,
  },
  {
    name: '410 as an event',
    steps: [
      { asked: lists, answer: json(list('5', 'a@1')) },
      {
        asked: watches('5'),
        answer: stream(`${JSON.stringify({ type: 'ERROR', object: status(410) })}\n`),
      },
      { asked: lists, answer: json(list('9')) },
      { asked: watches('9'), answer: stream() },
    ],
    cached: [],
    told: ['+a@1', '-a@1'],
  },
  {
    name: 'another error as an event, a 500, a 429 in plain text, a connection that is cut',
    steps: [
      { asked: lists, answer: json(list('5', 'a@1')) },
      {
        asked: watches('5'),
        answer: stream(`${JSON.stringify({ type: 'ERROR', object: status(500) })}\n`),
      },
      { asked: lists, answer: json(status(500), 500) },
      { asked: lists, answer: text(429, 'storage is (re)initializing') },
      { asked: lists, answer: text(200, 'no JSON at all') },
      { asked: lists, answer: (response) => response.destroy() },
      // A reset of a kept connection is asked again at once, and counts as one failure.
      { asked: lists, answer: json(list('9', 'a@7')) },
      { asked: watches('9'), answer: stream() },
    ],
    cached: ['a@7'],
    told: ['+a@1', '~a@7'],
  },
  {
    name: 'a watch that is cut in the middle of a line',
    steps: [
      { asked: lists, answer: json(list('5', 'a@1')) },
      { asked: watches('5'), answer: cut(event('ADDED', 'b@6'), event('ADDED', 'c@7').slice(0, 40)) },
      { asked: lists, answer: json(list('9', 'a@1', 'b@6', 'c@7')) },
      { asked: watches('9'), answer: stream() },
    ],
    cached: ['a@1', 'b@6', 'c@7'],
    told: ['+a@1', '+b@6', '+c@7'],
  },
  {
    name: 'lines in pieces, letters of several bytes cut apart, bookmarks, deletions',
    steps: [
      { asked: lists, answer: json(list('5', 'a@1')) },
      {
        asked: watches('5'),
        answer: (response) => {
          const bytes = Buffer.from(
            [event('ADDED', 'ü€😀@6'), event('MODIFIED', 'a@7'), bookmark('8'), event('DELETED', 'a@9')].join(
              '',
            ),
          );
          response.writeHead(200);
          for (let at = 0; at < bytes.length; at += 3) response.write(bytes.subarray(at, at + 3));
        },
      },
    ],
    cached: ['ü€😀@6'],
    told: ['+a@1', '+ü€😀@6', '~a@7', '-a@7'],
  },
  {
    name: 'pages, and a continuation that has expired',
    steps: [
      {
        asked: lists,
        answer: json({ ...list('5', 'a@1'), metadata: { resourceVersion: '5', continue: 'more' } }),
      },
      { asked: { ...lists, continue: 'more' }, answer: json(status(410), 410) },
      {
        asked: lists,
        answer: json({ ...list('7', 'a@1'), metadata: { resourceVersion: '7', continue: 'again' } }),
      },
      { asked: { ...lists, continue: 'again' }, answer: json(list('7', 'b@6')) },
      { asked: watches('7'), answer: stream() },
    ],
    cached: ['a@1', 'b@6'],
    told: ['+a@1', '+b@6'],
  },
  {
    name: 'an object of the same name that is another',
    steps: [
      { asked: lists, answer: json(list('5', 'a/first@1')) },
      { asked: watches('5'), answer: json(status(410), 410) },
      { asked: lists, answer: json(list('9', 'a/second@8')) },
      { asked: watches('9'), answer: stream() },
    ],
    cached: ['a@8'],
    told: ['+a@1', '-a@1', '+a@8'],
  },
  {
    name: 'what is no object, and no event',
    steps: [
      { asked: lists, answer: json(list('5', 'a@1')) },
      { asked: watches('5'), answer: stream('{"type":"ADDED","object":{"metadata":{"name":"x"}}}\n') },
      { asked: lists, answer: json(list('6', 'a@1')) },
      { asked: watches('6'), answer: stream('[]\n') },
      { asked: lists, answer: json({ kind: 'NamespaceList' }) },
      { asked: lists, answer: json(list('7', 'a@1')) },
      { asked: watches('7'), answer: stream() },
    ],
    cached: ['a@1'],
    told: ['+a@1'],
  },
];

suite('an informer survives', () => {
  let folder: string;
  let server: Server;
  let config: KubeConfig;
  let steps: Step[] = [];
  let wrong: string[] = [];
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sidewarden-informer-'));
    const authority = await createAuthority(folder);
    const { certificate: cert, key } = await authority.server(['IP:127.0.0.1']);
    server = createServer({ cert, key }, (request, response) => {
      const query = new URL(request.url ?? '', 'https://x').searchParams;
      const step = steps.shift();
      const fits = step && Object.entries(step.asked).every(([name, value]) => query.get(name) === value);
      if (fits && query.has('continue') === 'continue' in step.asked) step.answer(response);
      else {
        wrong.push(request.url ?? '');
        response.destroy();
      }
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    const subject = { user: 'test' };
    config = new KubeConfig();
    config.loadFromString(
      kubeconfigText({
        url: `https://127.0.0.1:${address.port}`,
        ca: authority.certificate,
        subject,
        pair: await authority.client(subject),
      }),
    );
  });
  after(async () => {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
    await rm(folder, { recursive: true, force: true });
  });

  for (const each of cases) {
    test(each.name, async () => {
      steps = [...each.steps];
      wrong = [];
      const transport = new Transport(config, { beginning: each.beginning ?? 30_000 });
      const cache = new Cache(log);
      const told: string[] = [];
      cache.watch((_, now, old) => {
        const { name, resourceVersion } = (now ?? old)?.metadata ?? { name: '', resourceVersion: '' };
        told.push(`${now ? (old ? '~' : '+') : '-'}${name}@${resourceVersion}`);
      });
      const stop = new AbortController();
      let synced = 0;
      const onSynced = () => void (synced += 1);
      const options = { transport, resource: NAMESPACES, cache, log, stop: stop.signal, onSynced };
      const ended = runInformer(options);
      const current = () =>
        cache
          .list()
          .map(({ metadata }) => `${metadata.name}@${metadata.resourceVersion}`)
          .sort();
      try {
        await until('all was asked, and the cache is right', () => {
          if (wrong.length > 0) return true;
          return steps.length === 0 && told.length >= each.told.length ? true : undefined;
        });
        assert.deepEqual(wrong, []);
        assert.deepEqual(current(), [...each.cached].sort());
        assert.deepEqual(told, each.told);
        assert.ok(synced > 0);
        assert.ok(cache.list().every(({ metadata }) => !JSON.stringify(metadata).includes('"x"')));
      } finally {
        stop.abort();
        await ended;
        transport.close();
      }
    });
  }
});
