/** Passkeys between the API, which speaks base64url, and the browser, which speaks bytes. */

/** @param {any} options what `passkey/start` of the sign-in gave */
export async function show(options) {
  const publicKey = options.publicKey ?? options;
  const credential = await ask(() =>
    navigator.credentials.get({
      publicKey: {
        ...publicKey,
        challenge: bytes(publicKey.challenge),
        allowCredentials: publicKey.allowCredentials?.map(known),
      },
    }),
  );
  const { response } = credential;
  return {
    ...head(credential),
    response: {
      clientDataJSON: text(response.clientDataJSON),
      authenticatorData: text(response.authenticatorData),
      signature: text(response.signature),
      userHandle: response.userHandle ? text(response.userHandle) : null,
    },
  };
}

/** @param {any} options what `passkeys/start` of the profile gave */
export async function make(options) {
  const publicKey = options.publicKey ?? options;
  const credential = await ask(() =>
    navigator.credentials.create({
      publicKey: {
        ...publicKey,
        challenge: bytes(publicKey.challenge),
        user: { ...publicKey.user, id: bytes(publicKey.user.id) },
        excludeCredentials: publicKey.excludeCredentials?.map(known),
      },
    }),
  );
  const { response } = credential;
  return {
    ...head(credential),
    response: {
      clientDataJSON: text(response.clientDataJSON),
      attestationObject: text(response.attestationObject),
      transports: response.getTransports?.() ?? [],
    },
  };
}

/** Whether this browser and this address can have passkeys at all. */
export const possible = () => window.isSecureContext && "PublicKeyCredential" in window;

/** @param {() => Promise<any>} request */
async function ask(request) {
  try {
    const credential = await request();
    if (credential) return credential;
  } catch (error) {
    if (error instanceof DOMException && error.name === "InvalidStateError") {
      throw new Error("This device has a passkey for you already.");
    }
    if (!(error instanceof DOMException)) throw error;
  }
  throw new Error("The browser gave no passkey: it was cancelled, or took too long.");
}

/** @param {any} credential */
const head = (credential) => ({ id: credential.id, rawId: text(credential.rawId), type: credential.type });

/** @param {any} descriptor */
const known = (descriptor) => ({ ...descriptor, id: bytes(descriptor.id) });

/** @param {string} value */
function bytes(value) {
  const binary = atob(value.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (char) => char.charCodeAt(0));
}

/** @param {ArrayBuffer} buffer */
function text(buffer) {
  const binary = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
