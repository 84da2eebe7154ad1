/*
 * Run as a separate process: writes an object into a store over SFTP, removes it, and kills itself before its nth request.
 *
 *     node write-and-die.ts DIRECTORY KEY NTH-REQUEST
 */
import { createHash } from 'node:crypto';
import process from 'node:process';
import { parseAddress } from '../src/address.ts';
import { SftpSession } from '../src/sftp/sftp-session.ts';
import { SshStore } from '../src/ssh-store.ts';
import { localSftp } from './local-sftp.ts';

const [directory = '', key = '', nth = '1'] = process.argv.slice(2);
let requests = 0;
SftpSession.prototype.send = new Proxy(Reflect.get(SftpSession.prototype, 'send'), {
  apply: (send, self, args) => {
    requests += 1;
    if (requests >= Number(nth)) process.kill(process.pid, 'SIGKILL');
    return Reflect.apply(send, self, args);
  },
});

await using store = new SshStore(localSftp(), parseAddress(new URL(`ssh://peer${directory}`)), () => undefined);
{
  await using pending = await store.begin(key);
  await pending.append(
    (async function* () {
      yield Buffer.from('content');
    })(),
  );
  await pending.commit({ size: 7, sha256: createHash('sha256').update('content').digest('hex') });
}
await store.remove([key]);
