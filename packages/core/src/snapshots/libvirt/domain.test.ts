import { afterEach, expect, test, vi } from 'vitest';
import { lookAtDomain } from './domain.ts';
import type { Virsh } from './virsh.ts';

const UUID = '7f0c0f6e-5f0a-4b8e-9d57-0c8a1f6f2b11';
const DOMAIN = "<domain id='3'><devices><disk type='file'><source file='/srv/a.img'/><target dev='vda'/></disk></devices></domain>";

afterEach(() => vi.restoreAllMocks());

/** virsh, which says what no libvirt says. */
function virshThatSays(answers: Readonly<Record<string, string>>): Virsh {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- nothing else of it is used
  return { run: async ([command = '']: readonly string[]) => answers[command] ?? '' } as unknown as Virsh;
}

const look = (xml: string, stats: string): ReturnType<typeof lookAtDomain> =>
  lookAtDomain(virshThatSays({ dumpxml: xml, domstats: stats, domstate: 'shut off' }), UUID, { signal: new AbortController().signal });

test.each([
  ['of more blocks than there can be', 'block.count=4294967295\n  block.0.name=vda\n  block.0.capacity=1048576\n', 1_048_576],
  ['of a size that is not a number', 'block.count=1\n  block.0.name=vda\n  block.0.capacity=many\n', undefined],
  ['of more bytes than a number can count', 'block.count=1\n  block.0.name=vda\n  block.0.capacity=99999999999999999999\n', undefined],
])('takes statistics %s', async (_, stats, capacity) => {
  expect((await look(DOMAIN, stats)).disks).toEqual([expect.objectContaining({ target: 'vda', path: '/srv/a.img', capacity })]);
});

test.each(['<domain>', '<domain><a></b></domain>', `<domain><${'a'.repeat(100_000)}></b></domain>`, ''])(
  'XML that cannot be read is an error, and nothing is written to the terminal: %.30s',
  async (xml) => {
    const writes = (['log', 'warn', 'error'] as const).map((method) => vi.spyOn(console, method).mockImplementation(() => undefined));
    const looking = look(xml, '');
    await expect(looking).rejects.toThrow(/^libvirt describes the domain in (?:XML that cannot be read|an unknown way).{0,210}$/);
    for (const written of writes) expect(written).not.toHaveBeenCalled();
  },
);
