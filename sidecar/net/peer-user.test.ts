import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { peerUser, userIn } from './peer-user.ts';

const TABLE = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:3C38 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999        0 1 1 0
   1: 0100007F:D431 0100007F:3C38 06 00000000:00000000 00:00000000 00000000     0        0 0 3 0
   2: 0100007F:D432 0100007F:3C38 01 00000000:00000000 00:00000000 00000000  1001        0 2 1 0
   3: 0100007F:3C38 0100007F:D432 01 00000000:00000000 00:00000000 00000000   999        0 3 1 0
`;

test('the end that is the client, not ours and not a closed one', () => {
  assert.equal(userIn(TABLE, '127.0.0.1', 0xd432, 0x3c38), 1001);
  assert.equal(userIn(TABLE, '::ffff:127.0.0.1', 0xd432, 0x3c38), 1001);
  assert.equal(userIn(TABLE, '127.0.0.1', 0xd431, 0x3c38), undefined);
  assert.equal(userIn(TABLE, '127.0.0.1', 0xd432, 0x3c39), undefined);
  assert.equal(userIn(TABLE, '10.0.0.1', 0xd432, 0x3c38), undefined);
  assert.equal(userIn('', '::1', 1, 2), undefined);
});

test('a real connection is ours', { skip: process.platform !== 'linux' && 'only Linux tells' }, async () => {
  for (const host of ['127.0.0.1', '::1']) {
    const server = createServer().listen(0, host);
    await once(server, 'listening').catch(() => undefined);
    const address = server.address();
    if (address === null || typeof address !== 'object') continue;
    const accepted = once(server, 'connection');
    const client = connect(address.port, host);
    // `connection` has one argument, a socket.
    const [socket] = (await accepted) as [Socket];
    assert.equal(await peerUser(socket), process.geteuid?.());
    client.destroy();
    socket.destroy();
    server.close();
  }
});
