import { resolve } from 'node:path';
import type { OsDefinition } from '@gantry/core';
import { selectOs } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { OS_PATH } from '../command-line/options.ts';
import { definitionAsJson } from '../output/definition.ts';
import { formatTable } from '../output/format.ts';

const command: CommandModule = defineCommand({
  arguments: ['<name>'],
  options: OS_PATH,
  examples: ['gantry os show debootstrap', 'gantry os show raw'],
  run: async ({ osSearchPath: searchPath, signal, output }, [name]) => {
    const { definition } = await selectOs(name, { searchPath, forceVariant: true, signal });
    output.result({ operation: 'os-show', definition: definitionAsJson(definition) }, showDefinition(definition));
  },
});

export default command;

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
