import { isKeyPart } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';

/** The id of Ganeti's own export, which is directly in the instance's directory. */
export const GANETI_ID = 'ganeti';

/** One export; without `id`, the newest complete one of the instance. */
export interface ExportReference {
  readonly instance: string;
  readonly id?: string;
}

const TIME_ID = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z(?:-([1-9]\d{0,8}))?$/;

/** The id of an export that started then; `ordinal` is 2 or more if other exports started in the same second. */
export function makeExportId(started: Date, ordinal = 1): string {
  const time = `${started.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
  return ordinal === 1 ? time : `${time}-${ordinal}`;
}

/** Time and ordinal of an id; undefined if Gantry did not make it. */
export function parseExportId(id: string): { readonly started: Date; readonly ordinal: number } | undefined {
  const [, year, month, day, hour, minute, second, ordinal = '1'] = TIME_ID.exec(id) ?? [];
  const started = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(started.getTime()) || makeExportId(started, Number(ordinal)) !== id) return undefined;
  return { started, ordinal: Number(ordinal) };
}

/** Orders ids by age, the oldest first; ids without a time come before all others, by name. */
export function compareExportIds(a: string, b: string): number {
  const first = parseExportId(a);
  const second = parseExportId(b);
  if (first === undefined || second === undefined)
    return Number(first !== undefined) - Number(second !== undefined) || (a < b ? -1 : Number(a > b));
  return first.started.getTime() - second.started.getTime() || first.ordinal - second.ordinal;
}

/** Whether a text is possible before or after the `@` of a reference. */
export function isReferencePart(part: string): boolean {
  return isKeyPart(part) && !part.includes('@');
}

export function formatExportReference(instance: string, id: string): string {
  return `${instance}@${id}`;
}

/**
 * Splits `INSTANCE` or `INSTANCE@EXPORT-ID`. The parts are safe in keys.
 * @throws GantryError `USAGE`
 */
export function parseExportReference(text: string): ExportReference {
  const at = text.indexOf('@');
  const instance = at === -1 ? text : text.slice(0, at);
  const id = at === -1 ? undefined : text.slice(at + 1);
  if (!isReferencePart(instance) || (id !== undefined && !isReferencePart(id))) {
    throw new GantryError('USAGE', {
      message: `${JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)} is not a valid export`,
      hint: 'Write INSTANCE or INSTANCE@EXPORT-ID, such as web1.example.com@20261123T081500Z; gantry list shows them.',
    });
  }
  return id === undefined ? { instance } : { instance, id };
}

/** The prefix of all keys of one export. That of Ganeti's own export is also a prefix of the instance's other exports. */
export function exportPrefix(instance: string, id: string): string {
  return id === GANETI_ID ? `${instance}/` : `${instance}/${id}/`;
}
