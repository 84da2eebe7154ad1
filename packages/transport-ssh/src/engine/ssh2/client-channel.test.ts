import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import ssh2 from 'ssh2';
import { expect, test } from 'vitest';
import type { ClientConnection } from './client-connection.ts';
import { openClientChannel } from './client-channel.ts';

/** A server that accepts everybody, and answers a subsystem with its end in one piece: sshd does that only sometimes. */
async function startHastyServer(): Promise<ssh2.Server> {
  // Not by ssh2's own generator: some of the Ed25519 keys that it makes cannot be read again.
  const { privateKey: hostKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'sec1', format: 'pem' },
  });
  const server = new ssh2.Server({ hostKeys: [hostKey] }, (peer) => {
    peer.on('authentication', (context) => context.accept());
    peer.on('session', (accept) => {
      accept().on('subsystem', (acceptSubsystem) => {
        const channel = acceptSubsystem();
        channel.exit(127);
        channel.end();
      });
    });
    peer.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

test('the exit status of a program that ends at once is not missed', async () => {
  const server = await startHastyServer();
  const client = new ssh2.Client();
  try {
    const { port }: AddressInfo = Object(server.address());
    client.connect({ host: '127.0.0.1', port, username: 'anybody' });
    await once(client, 'ready');
    const closed = once(client, 'close').then(() => undefined);
    const connection: ClientConnection = { client, failure: () => undefined, closed, end: async () => void client.end() };
    await using channel = await openClientChannel(connection, { subsystem: 'sftp' }, 60_000);
    channel.output.resume();
    expect(await channel.ended).toEqual({ exitCode: 127, error: undefined, stderr: '' });
  } finally {
    client.destroy();
    server.close();
  }
});
