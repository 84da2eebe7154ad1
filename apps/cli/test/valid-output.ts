import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { outputJsonSchema } from '../src/output/output-schema.ts';

const ajv = new Ajv2020({ strict: true, strictTypes: false, allErrors: true });
addFormats.default(ajv);
const validate = ajv.compile(outputJsonSchema());

/** @throws Error if a line of `--json` is not what `gantry schema output` says */
export function assertValidOutput(line: unknown): void {
  if (!validate(line)) throw new Error(`not as the schema says: ${ajv.errorsText(validate.errors)}\n${JSON.stringify(line)}`);
}
