import type { GantryError } from '@gantry/core';
import type { DocumentPlace, DocumentProblem, ProblemStyle, YamlDocument } from '@gantry/core/documents';
import { invalidDocument } from '@gantry/core/documents';
import { WITHOUT_HINT } from './files.ts';
import { knownFields } from './schema.ts';
import { isName } from '../addresses/name.ts';

const HINT = `gantry schema config prints the valid values of each field. ${WITHOUT_HINT}`;
/** How problems of gantry.yaml are shown. */
export const STYLE: ProblemStyle = {
  knownFields,
  nameOf: (name) => (isName(name) ? name : JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}…` : name)),
};

/** The error for a file with invalid values. @param source its path */
export function invalid(source: string, found: { readonly problems: readonly DocumentProblem[]; readonly count: number }): GantryError {
  return invalidDocument('CONFIGURATION_INVALID', { source, hint: HINT, ...found });
}

/** Where a value is; what is missing is missing from the group around it. */
export function nearestPlace(yaml: YamlDocument, path: readonly PropertyKey[]): DocumentPlace | undefined {
  for (let length = path.length; length >= 0; length -= 1) {
    const place = yaml.placeOf(path.slice(0, length));
    if (place !== undefined) return place;
  }
  return undefined;
}
