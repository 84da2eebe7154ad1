import { expect, test } from 'vitest';
import { settingsOfEnvironment, variablesOf } from './environment.ts';
import { EXPORT } from './export-options.ts';
import { IDENTITY, PARALLEL, RATE } from './options.ts';
import { SIGNERS } from './signature-options.ts';
import { SNAPSHOTS } from './snapshot-options.ts';

const OPTIONS = { ...EXPORT, ...SNAPSHOTS, ...PARALLEL, ...RATE, ...IDENTITY, ...SIGNERS };

test.each(Object.values(OPTIONS).flatMap(({ env, flags }) => (env === undefined ? [] : [[env, flags]])))(
  '%s stands for %s: it is a setting',
  (variable) => {
    expect(Object.values(variablesOf({ [variable]: '1' }))).toEqual([{ variable, text: '1' }]);
  },
);

test('who may sign comes from the environment, a relative file from the working directory', () => {
  const env = { GANTRY_ALLOWED_SIGNERS: 'allowed', GANTRY_REQUIRE_SIGNATURE: '1' };
  expect(settingsOfEnvironment({ env, cwd: '/srv' })).toMatchObject({ allowedSigners: '/srv/allowed', requireSignature: true });
});
