import process from 'node:process';
import { FORMAT_VERSIONS, PROTOCOL_VERSION, VERSION } from '@gantry/core';
import koffi from 'koffi';
import type { Session } from '../session.ts';

/** Libraries inside Node that touch what is stored or sent. */
const NODE_LIBRARIES = ['openssl', 'uv', 'zlib', 'zstd'] as const;

/** Runs `gantry version`. */
export async function run(session: Session): Promise<void> {
  const node = { version: process.versions.node, path: process.execPath };
  const inNode = NODE_LIBRARIES.map((name) => ({ name, version: process.versions[name] ?? 'unknown' }));
  const libraries = [...inNode, { name: 'koffi', version: koffi.version }];
  session.output.result({ operation: 'version', version: VERSION, protocol: PROTOCOL_VERSION, formats: FORMAT_VERSIONS, node, libraries }, [
    `gantry ${VERSION}`,
    `protocol of moves ${PROTOCOL_VERSION}`,
    ...FORMAT_VERSIONS.map(({ format, reads, writes }) => `${format} ${describeVersions(reads, writes)}`),
    `node ${node.version} (${node.path})`,
    ...libraries.map(({ name, version }) => `${name} ${version}`),
  ]);
}

function describeVersions(reads: readonly number[], writes: readonly number[]): string {
  const [read, written] = [reads.join(', '), writes.join(', ')];
  return read === written ? read : `${read} (writes ${written})`;
}
