import type { Contestant } from '../contestant.ts';
import { quote } from '../contestant.ts';

const DAEMON = '/usr/lib/ganeti/import-export';

const CERTIFICATE =
  'openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ganeti.example.com -keyout key.pem -out cert.pem 2>/dev/null && cat key.pem cert.pem >node.pem';

/** Both ends on this machine, over TLS, as Ganeti's node daemon starts them. The receiver writes its port into its status file. */
function pair(compress: string, from: string, to: string): string {
  const keys = '--key=node.pem --cert=node.pem --ca=cert.pem';
  return [
    'set -e; rm -f in out',
    `${DAEMON} "$PWD/in" import ${keys} --bind=127.0.0.1 --compress=${compress} --cmd-suffix=${quote(`> ${quote(to)}`)} & receiver=$!`,
    // Waits for the port in the status file, as long as the receiver runs.
    `until port=$(python3 -c 'import json; print(json.load(open("in"))["listen_port"] or exit(1))' 2>/dev/null); do kill -0 $receiver; sleep 0.02; done`,
    `${DAEMON} "$PWD/out" export ${keys} --host=127.0.0.1 --port=$port --compress=${compress} --cmd-prefix=${quote(`cat ${quote(from)} |`)}`,
    'wait $receiver',
  ].join('\n');
}

function ganeti(compress: 'none' | 'gzip'): Contestant {
  return {
    name: `Ganeti's import-export, ${compress}`,
    note: 'both ends, over TLS on loopback',
    once: compress === 'gzip',
    prepare: () => CERTIFICATE,
    // The file at the other end is plain: compression is only for the transfer.
    export: ({ disk, own }) => pair(compress, disk, `${own}/stream`),
    import: ({ own, target }) => pair(compress, `${own}/stream`, target),
  };
}

export const GANETI: readonly Contestant[] = [ganeti('none'), ganeti('gzip')];
