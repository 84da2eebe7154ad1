import { resolve } from 'node:path';
import type { OsDefinition } from '@gantry/core';
import { selectOs } from '@gantry/core';
import { formatTable } from '@gantry/programs';
import { definitionAsJson } from '../output/definition.ts';
import type { Session } from '../session.ts';

/** Runs `gantry os show`. */
export async function run({ osSearchPath: searchPath, signal, output }: Session, [name]: readonly [string]): Promise<void> {
  const { definition } = await selectOs(name, { searchPath, forceVariant: true, signal });
  output.result({ operation: 'os-show', definition: definitionAsJson(definition) }, showDefinition(definition));
}

function showDefinition(definition: OsDefinition): readonly string[] {
  const { name, directory, apiVersion, apiVersions, operations, variants, hypervisors, parameters } = definition;
  return formatTable([
    ['name', name],
    ['directory', directory === undefined ? 'built in' : resolve(directory)],
    ['API versions', `${apiVersions.join(', ')} (${apiVersion} is used)`],
    ['operations', listOr([...operations].toSorted(), 'none')],
    ['variants', listOr(variants, 'none')],
    ['hypervisors', listOr(hypervisors, 'any')],
    [
      'parameters',
      listOr(
        parameters.map((parameter) => parameter.name),
        'none',
      ),
    ],
    ...parameters.map((parameter) => [`  ${parameter.name}`, parameter.description]),
  ]);
}

function listOr(values: readonly string[] | undefined, none: string): string {
  return values === undefined || values.length === 0 ? none : values.join(', ');
}
