/** Reading what users write: YAML documents, schemas of their values, and problems with their places. */
export type { DocumentProblem, ProblemStyle } from './problems.ts';
export { invalidDocument, placeText, problemsOf } from './problems.ts';
export type { DocumentKind, DocumentPlace, YamlDocument } from './read-yaml.ts';
export { readYaml } from './read-yaml.ts';
export { readSmallFile } from '../system/read-small-file.ts';
export type { Text } from './text-types.ts';
export { checked, expected, line, matching, nonEmptyLine, showValue, text } from './text-types.ts';
