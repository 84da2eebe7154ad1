import { mkdir, writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { makeTemporaryDirectory } from '../disks/temporary-directory.ts';
import { startDaemon } from './daemon.ts';
import { findFreePorts } from './free-ports.ts';
import type { S3Server } from './s3-server.ts';
import { answersHttp } from './s3-server.ts';
import { proxyConf, storageConf, SWIFT_CONF } from './swift-conf.ts';

/** A new OpenStack Swift with its S3 API, on loopback. */
export interface SwiftServer extends S3Server, AsyncDisposable {
  /** The only region that it accepts. */
  readonly region: string;
}

const RING_MAKER = `
import sys
from swift.common.ring import RingBuilder
directory = sys.argv[1]
for name, port in zip(('account', 'container', 'object'), sys.argv[2:]):
    builder = RingBuilder(4, 1, 0)
    builder.add_dev(dict(region=1, zone=1, ip='127.0.0.1', port=int(port), replication_ip='127.0.0.1',
                         replication_port=int(port), device='d1', weight=1.0, meta=''))
    builder.rebalance()
    builder.get_ring().save(f'{directory}/{name}.ring.gz')
`;

const STORAGE = ['account', 'container', 'object'] as const;

/**
 * Starts the proxy and one account, container and object server: about three seconds. Needs swift-proxy, swift-account,
 * swift-container and swift-object, and a temporary directory on a file system with extended attributes.
 */
export async function startSwift(): Promise<SwiftServer> {
  const stack = new AsyncDisposableStack();
  try {
    const { path: directory } = stack.use(await makeTemporaryDirectory('gantry-swift-'));
    for (const name of ['etc', 'srv/d1', 'log', 'lock']) await mkdir(`${directory}/${name}`, { recursive: true });
    const port = await findFreePorts(4);
    const storage = STORAGE.map((name, index) => ({ name, port: port + 1 + index }));
    await writeFile(`${directory}/etc/swift.conf`, SWIFT_CONF);
    for (const server of storage) await writeFile(`${directory}/etc/${server.name}-server.conf`, storageConf(directory, server));
    await writeFile(`${directory}/etc/proxy-server.conf`, proxyConf(directory, port));
    await execa('/usr/bin/python3', ['-c', RING_MAKER, `${directory}/etc`, ...storage.map((server) => String(server.port))]);
    const start = async (name: string, at: number): Promise<AsyncDisposable> =>
      startDaemon({
        file: `swift-${name}-server`,
        args: [`${directory}/etc/${name}-server.conf`],
        env: { SWIFT_CONF: `${directory}/etc/swift.conf` },
        log: `${directory}/log/${name}`,
        isReady: () => answersHttp(`http://127.0.0.1:${at}/`),
      });
    // In parallel, because each takes seconds to load.
    const started = await Promise.allSettled([...storage.map((server) => start(server.name, server.port)), start('proxy', port)]);
    for (const result of started) if (result.status === 'fulfilled') stack.use(result.value);
    for (const result of started) if (result.status === 'rejected') throw result.reason;
    return {
      endpoint: `http://127.0.0.1:${port}`,
      accessKeyId: 'test:tester',
      secretAccessKey: 'testing',
      region: 'us-east-1',
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}
