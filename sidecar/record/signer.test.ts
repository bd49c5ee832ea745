import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { sampleFolder } from './sample-session.ts';
import { loadSigner, loadTrustedKey, PUBLIC_KEY } from './signer.ts';

test('a first start that finds no room leaves nothing that the next one stumbles over', async (t) => {
  const { folder } = await sampleFolder(t);
  const program = `
import { loadSigner } from '${import.meta.dirname}/signer.ts';
await loadSigner(process.argv.at(-1)).catch((error) => process.stdout.write(String(error.cause ?? error)));`;
  const run = `ulimit -f 0; exec "$0" --input-type=module -e "$1" -- "$2"`;
  const said = await new Promise<string>((done) => {
    execFile('bash', ['-c', run, process.execPath, program, folder], (_error, stdout) => done(stdout));
  });
  assert.match(said, /EFBIG/);
  const signer = await loadSigner(folder);
  assert.equal((await loadSigner(folder)).keyId, signer.keyId);
  assert.deepEqual(await readdir(join(folder, 'keys')), ['recording.ed25519', 'recording.ed25519.pub']);
});

test('the public key is mended when it is not the private one’s', async (t) => {
  const { folder } = await sampleFolder(t);
  const signer = await loadSigner(folder);
  const path = join(folder, PUBLIC_KEY);
  const whole = await readFile(path, 'utf8');
  for (const wrong of ['', whole.slice(0, 20), 'another']) {
    await writeFile(path, wrong);
    await loadSigner(folder);
    assert.equal((await loadTrustedKey(path)).keyId, signer.keyId);
  }
});
