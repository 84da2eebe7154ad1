import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FuzzTarget } from '@gantry/testkit';
import { textTarget } from '@gantry/testkit';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { checkSignature, sshSigner } from '../../src/exports/signature.ts';
import { assertRefused } from './refusal.ts';

const MANIFEST = '{"format":"gantry-export"}\n';
const SEPARATOR = '=====\n';
const FOUND = { reference: 'web1@20261122T081500Z', instance: 'web1', id: '20261122T081500Z', manifestText: MANIFEST };

interface Signed {
  readonly directory: string;
  readonly allowed: string;
  readonly signature: string;
}

let made: Promise<Signed> | undefined;

async function sign(): Promise<Signed> {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-fuzz-'));
  const key = join(directory, 'key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key], { stdio: 'ignore' });
  const signature = await sshSigner(key)(MANIFEST, {});
  return { directory, allowed: `backup@example.com ${readFileSync(`${key}.pub`, 'utf8')}`, signature };
}

/** The signature of an export, and the file that says who may sign: what is not the signature of an allowed signer is refused. Slow: ssh-keygen checks it. */
const target: FuzzTarget = textTarget({
  seeds: async () => {
    const { allowed, signature } = await (made ??= sign());
    return [
      `${allowed}${SEPARATOR}${signature}`,
      `# who\n*@example.com namespaces="gantry-export",valid-before="20300101" ${allowed.slice(19)}${SEPARATOR}${signature}`,
    ];
  },
  words: ['namespaces="', 'cert-authority ', 'valid-after="', '-----BEGIN SSH SIGNATURE-----', SEPARATOR],
  oneOf: 50,
  async run(text) {
    const { directory, signature } = await (made ??= sign());
    const [allowed = '', given = ''] = text.split(SEPARATOR);
    const allowedSigners = join(directory, 'allowed');
    await writeFile(allowedSigners, allowed);
    const memory = new Memory();
    memory.objects.set('web1/20261122T081500Z/manifest.json.sig', { bytes: Buffer.from(given), modified: new Date(0) });
    try {
      const { state } = await checkSignature(new MemoryStore(memory), FOUND, { allowedSigners, requireSignature: true });
      // An armor may be written in several ways, with the same bytes in it.
      const bytes = (armor: string): string => Buffer.from(armor.replaceAll(/-----[^-]*-----|\s/g, ''), 'base64').toString('hex');
      if (state !== 'signed' || bytes(given) !== bytes(signature)) throw new Error(`${state} by another signature`);
    } catch (error) {
      assertRefused(error, 'SIGNATURE_INVALID', 'SIGNATURE_MISSING');
    }
  },
});

export default target;
