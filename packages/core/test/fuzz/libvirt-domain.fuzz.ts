import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal, textTarget } from '@gantry/testkit';
import { lookAtDomain } from '../../src/snapshots/libvirt/domain.ts';
import type { Virsh } from '../../src/snapshots/libvirt/virsh.ts';

const SEPARATOR = '=====\n';
const UUID = '7f0c0f6e-5f0a-4b8e-9d57-0c8a1f6f2b11';

const DOMAIN = `<domain type='kvm' id='3'><name>web1</name><iothreads>1</iothreads><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2' error_policy='stop'/><source file='/srv/a.qcow2' index='1'/><target dev='vda'/><alias name='v0'/></disk>
<disk type='network' device='disk'><source protocol='nbd' name='x'/><target dev='vdb'/><transient/></disk></devices>
<seclabel type='dynamic' model='dac'><label>+64055:+109</label></seclabel></domain>`;
const STATS =
  'Domain: web1\n  block.count=2\n  block.0.name=vda\n  block.0.capacity=1048576\n  block.0.physical=4096\n  block.1.name=vdb\n';

/** Answers each command with its part of the input. */
function virshOf(text: string): Virsh {
  const [xml = '', stats = '', state = '', job = ''] = text.split(SEPARATOR);
  const answers: Readonly<Record<string, string>> = { dumpxml: xml, domstats: stats, domstate: state, domjobinfo: job };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- nothing else of it is used
  return { run: async ([command = '']: readonly string[]) => answers[command] ?? '' } as unknown as Virsh;
}

/** What virsh says of a guest whose disks are to be held still. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    [DOMAIN, STATS, 'running (booted)\n', 'Job type:  Unbounded\nOperation: Backup\n'].join(SEPARATOR),
    [DOMAIN, '', 'shut off', ''].join(SEPARATOR),
  ],
  words: [
    SEPARATOR,
    'block.0.capacity=',
    'block.count=',
    'block.0.name=',
    '<disk ',
    '<source ',
    '<!DOCTYPE a [<!ENTITY b "c">]>',
    '&b;',
    'Operation: ',
  ],
  maxBytes: 6000,
  async run(text) {
    try {
      const { disks } = await lookAtDomain(virshOf(text), UUID, { signal: new AbortController().signal });
      for (const { capacity, physical } of disks)
        for (const bytes of [capacity, physical])
          if (bytes !== undefined && !(Number.isSafeInteger(bytes) && bytes >= 0)) throw new TypeError(`${bytes} bytes`);
    } catch (error) {
      // Callers take any other error for the reason why the guest cannot be held still.
      assertRefusal(error, (each) => each instanceof Error && !(each instanceof TypeError) && !(each instanceof RangeError));
    }
  },
});

export default target;
