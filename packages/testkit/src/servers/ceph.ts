import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { execa } from 'execa';
import { makeTemporaryDirectory } from '../disks/temporary-directory.ts';
import type { Certificate } from './certificate.ts';
import { makeCertificate } from './certificate.ts';
import type { CephPorts } from './ceph-conf.ts';
import { cephConf, KMS_KEY_ID } from './ceph-conf.ts';
import type { Daemon } from './daemon.ts';
import { startDaemon } from './daemon.ts';
import { findFreePorts } from './free-ports.ts';
import type { S3Server } from './s3-server.ts';
import { answersHttp } from './s3-server.ts';

export interface CephOptions {
  /** `memory` (default) for small amounts of data; `disk` for gigabytes. */
  readonly store?: 'memory' | 'disk';
}

/** A new Ceph cluster with a RADOS Gateway, on loopback. */
export interface CephServer extends S3Server, AsyncDisposable {
  /** The same gateway, over TLS. */
  readonly tlsEndpoint: string;
  /** The certificate that a client must trust for {@link tlsEndpoint}. */
  readonly caFile: string;
  /** Its configuration, for Ceph's own commands. */
  readonly confFile: string;
  /** Its encryption key for `aws:kms`. */
  readonly kmsKeyId: string;
  /** Creates another user with its own keys and optionally a quota in bytes for all of its data. */
  createUser(name: string, options?: { readonly quotaBytes?: number }): Promise<S3Server>;
  /** Kills the gateway (SIGKILL). The cluster behind it keeps running. */
  killGateway(): Promise<void>;
  /** Restarts it on the same ports. */
  startGateway(): Promise<void>;
}

const ADMIN = { name: 'lab', accessKeyId: 'labkey', secretAccessKey: 'labsecret' };

/** Starts a monitor, an OSD and a gateway: about two seconds. Needs ceph-mon, ceph-osd, ceph-common, radosgw and openssl. */
export async function startCeph({ store = 'memory' }: CephOptions = {}): Promise<CephServer> {
  const stack = new AsyncDisposableStack();
  try {
    const directory = stack.use(await makeTemporaryDirectory('gantry-ceph-'));
    const first = await findFreePorts(4);
    const ports: CephPorts = { monitor: first, http: first + 2, https: first + 3, osd: await findFreePorts(40) };
    const certificate = await makeCertificate(directory.path);
    const cluster = new Cluster(directory.path);
    await cluster.write(ports, certificate, store);
    stack.use(await cluster.startMonitor(ports.monitor));
    stack.use(await cluster.startOsd());
    await cluster.addUser(ADMIN);
    const endpoint = `http://127.0.0.1:${ports.http}`;
    let gateway: Daemon = await cluster.startGateway(endpoint);
    stack.defer(async () => gateway[Symbol.asyncDispose]());
    return {
      endpoint,
      tlsEndpoint: `https://127.0.0.1:${ports.https}`,
      caFile: certificate.certFile,
      confFile: cluster.confFile,
      kmsKeyId: KMS_KEY_ID,
      accessKeyId: ADMIN.accessKeyId,
      secretAccessKey: ADMIN.secretAccessKey,
      async createUser(name, { quotaBytes } = {}) {
        const user = { name, accessKeyId: `${name}key`, secretAccessKey: `${name}secret` };
        await cluster.addUser(user);
        if (quotaBytes !== undefined) await cluster.setQuota(name, quotaBytes);
        return { endpoint, accessKeyId: user.accessKeyId, secretAccessKey: user.secretAccessKey };
      },
      killGateway: () => gateway.kill(),
      async startGateway() {
        gateway = await cluster.startGateway(endpoint);
      },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

interface User {
  readonly name: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** The files and programs of one cluster. */
class Cluster {
  readonly #directory: string;
  readonly #fsid = randomUUID();
  readonly confFile: string;
  readonly #env: Readonly<Record<string, string>>;

  constructor(directory: string) {
    this.#directory = directory;
    this.confFile = `${directory}/ceph.conf`;
    this.#env = { CEPH_CONF: this.confFile };
  }

  async write(ports: CephPorts, certificate: Certificate, store: 'memory' | 'disk'): Promise<void> {
    for (const name of ['mon', 'osd', 'rgw', 'log']) await mkdir(`${this.#directory}/${name}`);
    await writeFile(this.confFile, cephConf({ directory: this.#directory, fsid: this.#fsid, ports, certificate, store }));
    const address = `[v2:127.0.0.1:${ports.monitor},v1:127.0.0.1:${ports.monitor + 1}]`;
    await this.#run('monmaptool', '--create', '--fsid', this.#fsid, '--addv', 'a', address, `${this.#directory}/monmap`);
    await this.#run('ceph-mon', '-i', 'a', '--mkfs', '--monmap', `${this.#directory}/monmap`);
  }

  startMonitor(port: number): Promise<Daemon> {
    return this.#start('ceph-mon', ['-i', 'a', '-f'], () => answersTcp(port));
  }

  async startOsd(): Promise<Daemon> {
    const uuid = randomUUID();
    await this.#run('ceph', 'osd', 'new', uuid);
    await this.#run('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', uuid);
    return this.#start('ceph-osd', ['-i', '0', '-f'], async () => (await this.#run('ceph', 'osd', 'stat')).includes('1 up'));
  }

  startGateway(endpoint: string): Promise<Daemon> {
    return this.#start('radosgw', ['-n', 'client.rgw', '-f'], () => answersHttp(endpoint));
  }

  async addUser({ name, accessKeyId, secretAccessKey }: User): Promise<void> {
    const keys = [`--access-key=${accessKeyId}`, `--secret=${secretAccessKey}`];
    await this.#run('radosgw-admin', 'user', 'create', `--uid=${name}`, `--display-name=${name}`, ...keys);
  }

  async setQuota(name: string, bytes: number): Promise<void> {
    await this.#run('radosgw-admin', 'quota', 'set', '--quota-scope=user', `--uid=${name}`, `--max-size=${bytes}`);
    await this.#run('radosgw-admin', 'quota', 'enable', '--quota-scope=user', `--uid=${name}`);
  }

  #start(file: string, args: readonly string[], isReady: () => Promise<boolean>): Promise<Daemon> {
    return startDaemon({ file, args, env: this.#env, log: `${this.#directory}/log/${file}.out`, isReady });
  }

  async #run(file: string, ...args: readonly string[]): Promise<string> {
    const { stdout } = await execa(file, args, { env: this.#env, stdin: 'ignore', timeout: 60_000 });
    return stdout;
  }
}

function answersTcp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
