import { access } from 'node:fs/promises';
import type { KeyProblem } from '../../auth/key-problem.ts';
import { agentProblem, findKeyProblem, isDefaultKey, withKeyProblems } from '../../auth/key-problem.ts';
import type { Launch, LaunchOptions } from '../local-program.ts';
import type { PeerError } from '../peer-error.ts';
import { askProgram } from './ask-program.ts';
import { certificateProblem } from './certificate-problem.ts';
import type { EffectiveSettings } from './effective-settings.ts';
import { isJumpSpeaking } from './explain-stderr.ts';

/** How `ssh` was called that was refused. */
export interface RefusedLogin {
  /** All that it wrote to stderr. */
  readonly stderr: string;
  readonly settings: EffectiveSettings;
  /** The key files that the address names. */
  readonly namedFiles: readonly string[];
  /** With which locked keys were tried. */
  readonly passphrase: string | undefined;
  readonly launch: Launch;
  readonly options: LaunchOptions;
}

/** For one look at a file, ms. */
const PATIENCE_MS = 10_000;

/** Says of a refusal what `ssh` itself put aside: a key that was never shown cannot be accepted. */
export async function explainRefusal(refusal: PeerError, login: RefusedLogin): Promise<PeerError> {
  const files = new Set([...filesNotLoaded(login.stderr), ...(isJumpSpeaking(login.stderr) ? [] : login.settings.identityFiles)]);
  const keys = await Promise.all([...files].filter((file) => !wasRefused(file, login.stderr)).map((file) => keyProblem(file, login)));
  const certificates = isJumpSpeaking(login.stderr) ? [] : await certificateProblems(login);
  return withKeyProblems(refusal, [...keys, ...certificates, agentOf(login.stderr)]);
}

async function keyProblem(file: string, { namedFiles, passphrase }: RefusedLogin): Promise<KeyProblem | undefined> {
  const problem = await findKeyProblem(file, { passphrase, isStrict: true });
  return problem?.isAbsent === true && isDefaultKey(file) && !namedFiles.includes(file) ? undefined : problem;
}

function filesNotLoaded(stderr: string): readonly string[] {
  return [...stderr.matchAll(/^Load key "(.*)": /gm)].flatMap(([, file]) => file ?? []);
}

/** Whether the peer saw the key and did not want it: then nothing is the matter with the file. */
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
      if (!(await isThere(file))) return undefined;
      const { stdout } = await askProgram(launch, 'ssh-keygen', ['-L', '-f', file], { ...options, timeoutMs: PATIENCE_MS });
      return certificateProblem(file, stdout, settings.user);
    }),
  );
}

function agentOf(stderr: string): KeyProblem | undefined {
  const why = /^debug1: get_agent_identities: ssh_get_authentication_socket: (.*)$/m.exec(stderr)?.[1];
  return why === undefined ? undefined : agentProblem(why);
}

async function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
