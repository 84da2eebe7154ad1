import { randomBytes } from 'node:crypto';

import { command, commandAtExit } from '../disks/command.ts';
import { undoAtExit } from '../disks/undo.ts';

/** A network namespace with one address on the link to the other. */
export interface NetworkNode {
  readonly namespace: string;
  readonly address: string;
  /** The arguments that come before a command to run it there. */
  readonly enter: readonly string[];
}

/** Two network namespaces with a cable between them. */
export interface TwoNodes extends AsyncDisposable {
  readonly first: NetworkNode;
  readonly second: NetworkNode;
  /** Pulls the cable, or plugs it in again. */
  setLink(state: 'up' | 'down'): Promise<void>;
}

/** Makes them. Needs root and iproute2. */
export async function makeTwoNodes(): Promise<TwoNodes> {
  const id = randomBytes(3).toString('hex');
  const [first, second] = [node(`gantry-a-${id}`, '192.0.2.1'), node(`gantry-b-${id}`, '192.0.2.2')];

  const forget = [first, second].map((each) => undoAtExit(() => commandAtExit('ip', 'netns', 'del', each.namespace)));
  const ip = (at: NetworkNode, ...args: readonly string[]): Promise<string> => command('ip', '-n', at.namespace, ...args);
  for (const each of [first, second]) await command('ip', 'netns', 'add', each.namespace);
  await command(
    'ip',
    'link',
    'add',
    'gantry0',
    'netns',
    first.namespace,
    'type',
    'veth',
    'peer',
    'name',
    'gantry0',
    'netns',
    second.namespace,
  );
  for (const each of [first, second]) {
    await ip(each, 'address', 'add', `${each.address}/24`, 'dev', 'gantry0');
    for (const device of ['lo', 'gantry0']) await ip(each, 'link', 'set', device, 'up');
  }
  return {
    first,
    second,
    setLink: async (state) => {
      await ip(first, 'link', 'set', 'gantry0', state);
    },
    async [Symbol.asyncDispose]() {
      for (const each of [first, second]) await command('ip', 'netns', 'del', each.namespace);
      for (const each of forget) each();
    },
  };
}

function node(namespace: string, address: string): NetworkNode {
  return { namespace, address, enter: ['ip', 'netns', 'exec', namespace] };
}
