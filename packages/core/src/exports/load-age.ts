/** The library of encrypted files. It is loaded by what encrypts or decrypts only: most exports are not encrypted, and it is a large one. */
export async function loadAge(): Promise<typeof import('@gantry/age')> {
  return await import('@gantry/age');
}
