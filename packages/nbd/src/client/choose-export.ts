import { NbdError, violation } from '../errors.ts';
import type { BlockSizes, ExportSize } from '../wire/options.ts';
import {
  decodeContext,
  decodeExportSize,
  decodeInfo,
  decodeListedExport,
  encodeContextQueries,
  encodeInfoRequest,
} from '../wire/options.ts';
import type { ListedExport } from '../wire/options.ts';
import { DEFAULT_MAX_PAYLOAD_BYTES, INFO, MAX_MINIMUM_BLOCK_BYTES, OPTION, REPLY, TRANSMISSION } from '../wire/protocol.ts';
import { encodeText } from '../wire/text.ts';
import type { Negotiation } from './negotiation.ts';

/** What a server says of an export. */
export interface ExportInfo {
  /** Bytes. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Whether several connections see the same content. */
  readonly multiConnection: boolean;
  /** For a human, where the server has one. */
  readonly description?: string;
  /** Bytes. What is asked for must be a multiple of `minimum`; nothing longer than `maximum` is asked for at once. */
  readonly blockSizes: BlockSizes;
}

/** What was agreed on when an export was chosen. */
export interface Agreement extends ExportInfo {
  readonly structured: boolean;
  /** Metadata contexts that were selected: name by number. */
  readonly contexts: ReadonlyMap<number, string>;
}

/** @throws NbdError as {@link Negotiation.ask}; `unsupported` */
export async function listExportsOver(negotiation: Negotiation): Promise<readonly ListedExport[]> {
  const replies = await negotiation.ask(OPTION.LIST);
  if (replies === undefined) throw new NbdError('unsupported', 'the NBD server does not list its exports');
  return replies.map(({ type, data }) => {
    if (type !== REPLY.SERVER) throw violation(`answered a list with a reply of type ${type}`);
    return decodeListedExport(data);
  });
}

/** `NBD_OPT_INFO`. @throws NbdError as {@link Negotiation.ask}; `unsupported` */
export async function inquireExport(negotiation: Negotiation, name: string): Promise<ExportInfo> {
  const info = await askInfo(negotiation, OPTION.INFO, name);
  if (info === undefined) throw new NbdError('unsupported', 'the NBD server does not describe its exports');
  return info;
}

/**
 * Structured replies, metadata contexts, `NBD_OPT_GO`: after it the transmission phase has started.
 * @param contexts that must be selected
 * @throws NbdError as {@link Negotiation.ask}; `unsupported` where the server lacks one of the contexts
 */
export async function chooseExport(negotiation: Negotiation, name: string, contexts: readonly string[]): Promise<Agreement> {
  const structured = (await negotiation.ask(OPTION.STRUCTURED_REPLY)) !== undefined;
  const selected = contexts.length === 0 ? new Map<number, string>() : await selectContexts(negotiation, name, contexts, structured);
  const info = (await askInfo(negotiation, OPTION.GO, name)) ?? (await byName(negotiation, name));
  return { ...info, structured, contexts: selected };
}

async function selectContexts(
  negotiation: Negotiation,
  name: string,
  wanted: readonly string[],
  structured: boolean,
): Promise<ReadonlyMap<number, string>> {
  const data = encodeContextQueries(name, wanted);
  const replies = structured ? ((await negotiation.ask(OPTION.SET_META_CONTEXT, data)) ?? []) : [];
  const selected = new Map<number, string>();
  for (const { type, data } of replies) {
    if (type !== REPLY.META_CONTEXT) throw violation(`answered a query for metadata contexts with a reply of type ${type}`);
    const context = decodeContext(data);
    if (!wanted.includes(context.name) || selected.has(context.id) || [...selected.values()].includes(context.name))
      throw violation('selected a metadata context twice, or one that was not asked for');
    selected.set(context.id, context.name);
  }
  const missing = wanted.filter((context) => ![...selected.values()].includes(context));
  if (missing.length > 0) throw new NbdError('unsupported', `the NBD export does not have the metadata context ${missing.join(', ')}`);
  return selected;
}

/** @returns undefined where the server does not know the option */
async function askInfo(negotiation: Negotiation, option: number, name: string): Promise<ExportInfo | undefined> {
  const replies = await negotiation.ask(option, encodeInfoRequest(name, [INFO.BLOCK_SIZE, INFO.DESCRIPTION]));
  if (replies === undefined) return undefined;
  let size: ExportSize | undefined;
  let blockSizes: BlockSizes | undefined;
  let description: string | undefined;
  for (const { type, data } of replies) {
    if (type !== REPLY.INFO) throw violation(`answered a question for an export with a reply of type ${type}`);
    const info = decodeInfo(data);
    if (info.type === 'export') size = info.export;
    else if (info.type === 'block-size') ({ blockSizes } = info);
    else if (info.type === 'description') ({ description } = info);
  }
  if (size === undefined) throw violation('does not say how large the export is');
  return toInfo(size, blockSizes, description);
}

async function byName(negotiation: Negotiation, name: string): Promise<ExportInfo> {
  return toInfo(decodeExportSize(await negotiation.chooseByName(encodeText(name, 'the name of an export'))));
}

function toInfo({ size, flags }: ExportSize, blockSizes: BlockSizes = defaultSizes(), description?: string): ExportInfo {
  if ((flags & TRANSMISSION.HAS_FLAGS) === 0) throw violation('sent transmission flags without the first bit, which is always set');
  assertBlockSizes(blockSizes);
  if (size % blockSizes.minimum !== 0)
    throw new NbdError(
      'unsupported',
      `the last ${size % blockSizes.minimum} bytes of the NBD export cannot be read: it has ${size} bytes, in blocks of ${blockSizes.minimum}`,
    );
  return {
    size,
    readOnly: (flags & TRANSMISSION.READ_ONLY) !== 0,
    multiConnection: (flags & TRANSMISSION.CAN_MULTI_CONN) !== 0,
    ...(description === undefined ? {} : { description }),
    blockSizes,
  };
}

/** "Size constraints", where none are advertised. */
function defaultSizes(): BlockSizes {
  return { minimum: 1, preferred: 4096, maximum: DEFAULT_MAX_PAYLOAD_BYTES };
}

/** "Size constraints". @throws NbdError `protocol` */
function assertBlockSizes({ minimum, preferred, maximum }: BlockSizes): void {
  const sound =
    isPowerOfTwo(minimum) &&
    minimum <= MAX_MINIMUM_BLOCK_BYTES &&
    isPowerOfTwo(preferred) &&
    preferred >= Math.max(minimum, 512) &&
    maximum >= preferred;
  if (!sound) throw violation(`says impossible block sizes: minimum ${minimum}, preferred ${preferred}, maximum ${maximum}`);
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}
