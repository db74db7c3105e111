/** The API of the server that gave this page. */

const KEY = "recgen-key";

/** What the server refused, and the field that is wrong. */
export class ApiError extends Error {
  constructor(status, { message, code, param }) {
    super(message);
    Object.assign(this, { status, code, param });
  }
}

/** Keep an API key until the tab is closed. */
export function keepKey(key) {
  sessionStorage.setItem(KEY, key);
}

export const hasKey = () => sessionStorage.getItem(KEY) !== null;

async function call(path, { body, signal } = {}) {
  const headers = {};
  if (hasKey()) headers.Authorization = `Bearer ${sessionStorage.getItem(KEY)}`;
  if (body) headers["Content-Type"] = "application/json";
  const method = body ? "POST" : "GET";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { message: "The server cannot be reached." });
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => null);
  throw new ApiError(answer.status, told?.error ?? { message: `The server says ${answer.status}.` });
}

let catalog = null;

/** Ask one of several catalogs from now on; null is the first. */
export function chooseCatalog(name) {
  catalog = name;
}

const inCatalog = (body) => (catalog ? { ...body, domain: catalog } : body);

export const getInfo = async () => (await call("v1/info")).json();

export const getModels = async () => (await call("v1/models")).json();

/** Items by a part of their title and by a rule: the first `limit`, and how many there are. */
export async function findItems({ query = "", where = "", limit = 20 }, signal) {
  const asked = new URLSearchParams({ query, limit });
  if (where) asked.set("where", where);
  if (catalog) asked.set("domain", catalog);
  return (await call(`v1/items?${asked}`, { signal })).json();
}

/** Recommendations; nothing eligible is an empty list. `timing` is in milliseconds by stage. */
export async function recommend(body, signal) {
  const began = performance.now();
  try {
    const answer = await call("v1/recommendations", { body: inCatalog(body), signal });
    const found = await answer.json();
    const stages = (answer.headers.get("Server-Timing") ?? "").matchAll(/(\w+);dur=([\d.]+)/g);
    const timing = [...stages].map(([, stage, spent]) => [stage, Number(spent)]);
    return { ...found, timing: [...timing, ["in all", performance.now() - began]] };
  } catch (error) {
    if (error.code !== "no_eligible_item") throw error;
    return { items: [], timing: [] };
  }
}

/** The chunks of a chat's answer as they come. */
export async function* streamChat(body) {
  const asked = { ...inCatalog(body), stream: true };
  const answer = await call("v1/chat/completions", { body: asked });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: /, "");
      if (data !== "[DONE]") yield JSON.parse(data);
    }
  }
}
