import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findTools, MissingTool } from './requirement.ts';

test('a missing tool is named, with the line that installs it', async () => {
  await assert.rejects(findTools([]), (error) => {
    assert.ok(error instanceof MissingTool);
    assert.match(error.message, /^pgbench and pgbouncer not found; .*apt-get install .*pgbouncer$/);
    return true;
  });
});
