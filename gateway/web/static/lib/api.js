// Calls to this instance's own page API: the web session and the page's form token, never an API key.
const token = () => document.querySelector("meta[name=csrf-token]").content;

export class ApiError extends Error {
  constructor(status, body) {
    const text = typeof body.message === "string" ? body.message : JSON.stringify(body.message ?? body);
    super(text);
    this.status = status;
    this.code = body.code || "";
    this.next = body.next_step || "";
  }
}

/** ``path`` below /web/api; the answer's JSON. Throws ApiError, or TypeError when the instance does not answer. */
export async function ask(method, path, body) {
  const answer = await fetch(`/web/api/${path}`, {
    method,
    cache: "no-store",
    headers: { "X-CSRF-Token": token(), ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.status === 401) {
    const found = await answer.clone().json().catch(() => ({}));
    if (found.code === "SIGN_IN_REQUIRED") window.location.reload();
  }
  const found = await answer.json().catch(() => ({ message: `HTTP ${answer.status}` }));
  if (!answer.ok) throw new ApiError(answer.status, found);
  return found;
}

export const get = (path) => ask("GET", path);
export const post = (path, body = {}) => ask("POST", path, body);

/** An endpoint of /api/v1 under this session: ``call("placeorder", {...})``. */
export const call = (path, body = {}) => ask("POST", `call/${path}`, body);
