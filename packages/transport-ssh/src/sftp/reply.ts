import type { Buffer } from 'node:buffer';
import type { Attributes } from './attributes.ts';
import { readAttributes } from './attributes.ts';
import { PACKET, STATUS } from './protocol.ts';
import { SftpStatusError } from './status-error.ts';
import { SftpProtocolError, WireReader } from './wire.ts';

/** One entry of a directory. */
export interface NamedAttributes {
  readonly name: string;
  readonly attributes: Attributes;
}

/** A server's answer. A refusal is an error instead. */
export type Reply =
  | { readonly kind: 'ok' }
  | { readonly kind: 'end' }
  | { readonly kind: 'handle'; readonly handle: Buffer }
  | { readonly kind: 'names'; readonly names: readonly NamedAttributes[] }
  | { readonly kind: 'attributes'; readonly attributes: Attributes }
  | { readonly kind: 'extended'; readonly fields: WireReader }
  | { readonly kind: 'data'; readonly length: number };

/** Maximum length of a handle (section 6.2 of the draft). */
const MAX_HANDLE_BYTES = 256;

/** Parses an answer's fields after its id. A refusal is returned, not thrown. @throws SftpProtocolError if it is not valid SFTP */
export function readReply(type: number, fields: WireReader): Reply | SftpStatusError {
  switch (type) {
    case PACKET.status:
      return readStatus(fields);
    case PACKET.handle: {
      const handle = fields.bytes();
      if (handle.length > MAX_HANDLE_BYTES) throw new SftpProtocolError(`the peer sent a handle of ${handle.length} bytes`);
      return { kind: 'handle', handle };
    }
    case PACKET.name:
      return { kind: 'names', names: readNames(fields) };
    case PACKET.attributes:
      return { kind: 'attributes', attributes: readAttributes(fields) };
    case PACKET.extendedReply:
      return { kind: 'extended', fields };
    default:
      throw new SftpProtocolError(`the peer sent a packet of unknown type ${type}`);
  }
}

function readStatus(fields: WireReader): Reply | SftpStatusError {
  const status = fields.uint32();
  if (status === STATUS.ok) return { kind: 'ok' };
  if (status === STATUS.endOfFile) return { kind: 'end' };
  // Servers older than version 3 send no text.
  return new SftpStatusError(status, fields.remaining > 0 ? fields.text() : '');
}

function readNames(fields: WireReader): readonly NamedAttributes[] {
  const names: NamedAttributes[] = [];
  for (let left = fields.uint32(); left > 0; left -= 1) {
    const name = fields.text();
    // The same as text, like the output of `ls -l`.
    fields.bytes();
    names.push({ name, attributes: readAttributes(fields) });
  }
  return names;
}
