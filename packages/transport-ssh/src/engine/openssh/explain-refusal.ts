import { access } from 'node:fs/promises';
import type { KeyProblem } from '../../auth/key-problem.ts';
import { agentProblem, findKeyProblem, isDefaultKey, withKeyProblems } from '../../auth/key-problem.ts';
import type { Launch, LaunchOptions } from '../local-program.ts';
import type { PeerError } from '../peer-error.ts';
import { askProgram } from './ask-program.ts';
import { certificateProblem } from './certificate-problem.ts';
import type { EffectiveSettings } from './effective-settings.ts';
import { isFromJumpHost } from './explain-stderr.ts';

/** A login by `ssh` that the peer refused. */
export interface RefusedLogin {
  /** Its complete stderr. */
  readonly stderr: string;
  readonly settings: EffectiveSettings;
  /** The key files that the address names. */
  readonly namedFiles: readonly string[];
  /** The passphrase that was tried on locked keys. */
  readonly passphrase: string | undefined;
  readonly launch: Launch;
  readonly options: LaunchOptions;
}

/** Time limit for reading one certificate, ms. */
const PATIENCE_MS = 10_000;

/** Adds to a refusal the keys that `ssh` itself ignored: a key that was never offered cannot be accepted. */
export async function explainRefusal(refusal: PeerError, login: RefusedLogin): Promise<PeerError> {
  const files = new Set([...filesNotLoaded(login.stderr), ...(isFromJumpHost(login.stderr) ? [] : login.settings.identityFiles)]);
  const keys = await Promise.all([...files].filter((file) => !wasRefused(file, login.stderr)).map((file) => keyProblem(file, login)));
  const certificates = isFromJumpHost(login.stderr) ? [] : await certificateProblems(login);
  return withKeyProblems(refusal, [...keys, ...certificates, agentOf(login.stderr)]);
}

async function keyProblem(file: string, { namedFiles, passphrase }: RefusedLogin): Promise<KeyProblem | undefined> {
  const problem = await findKeyProblem(file, { passphrase, isStrict: true });
  return problem?.isAbsent === true && isDefaultKey(file) && !namedFiles.includes(file) ? undefined : problem;
}

function filesNotLoaded(stderr: string): readonly string[] {
  return [...stderr.matchAll(/^Load key "(.*)": /gm)].flatMap(([, file]) => file ?? []);
}

/** Whether the peer was offered the key and refused it: then the file is fine. */
function wasRefused(file: string, stderr: string): boolean {
  return (
    stderr.includes(`debug1: Offering public key: ${file} `) &&
    !stderr.includes(`debug1: Server accepts key: ${file} `) &&
    !filesNotLoaded(stderr).includes(file)
  );
}

async function certificateProblems({ settings, launch, options }: RefusedLogin): Promise<readonly (KeyProblem | undefined)[]> {
  const candidates = [...settings.certificateFiles, ...settings.identityFiles.map((file) => `${file}-cert.pub`)];
  return Promise.all(
    candidates.map(async (file) => {
      if (!(await exists(file))) return undefined;
      const { stdout } = await askProgram(launch, 'ssh-keygen', ['-L', '-f', file], { ...options, timeoutMs: PATIENCE_MS });
      return certificateProblem(file, stdout, settings.user);
    }),
  );
}

function agentOf(stderr: string): KeyProblem | undefined {
  const why = /^debug1: get_agent_identities: ssh_get_authentication_socket: (.*)$/m.exec(stderr)?.[1];
  return why === undefined ? undefined : agentProblem(why);
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
