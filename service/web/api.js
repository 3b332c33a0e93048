// Requests to the service on whose page this is, and its errors as sentences.

const LOWEST = 0.05; // what is below is noise; the slider filters the rest here, without asking again

export class Problem extends Error {
  constructor(message, status, retryAfterS) {
    super(message);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }
}

let key = sessionStorage.getItem("key") ?? ""; // forgotten with the tab

export function useKey(value) {
  key = value.trim();
  sessionStorage.setItem("key", key);
}

export function detectPath(model) {
  const query = `score_threshold=${LOWEST}&max_detections=100`;
  return model ? `models/${encodeURIComponent(model)}/detect?${query}` : `detect?${query}`;
}

// Returns the service's answer with `timings` (ms by part) and `tookMs` (round trip).
export async function detect(picture, model, signal) {
  const headers = { "Content-Type": picture.type || "image/jpeg", Accept: "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  const started = performance.now();
  let response;
  try {
    response = await fetch(detectPath(model), { method: "POST", body: picture, headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The service cannot be reached. Is it still running?", 0, 2);
  }
  if (!response.ok) throw await problem(response);
  const answer = await response.json();
  answer.tookMs = performance.now() - started;
  answer.timings = parseTimings(response.headers.get("Server-Timing") ?? "");
  return answer;
}

async function problem(response) {
  let detail = `The service answered with status ${response.status}.`;
  try {
    detail = (await response.json()).detail ?? detail;
  } catch { /* a proxy's page: the status is all there is to say */ }
  return new Problem(detail, response.status, Number(response.headers.get("Retry-After")) || 1);
}

function parseTimings(header) {
  const parts = header.split(",").map((part) => part.trim().match(/^([\w-]+);dur=([\d.]+)$/));
  return Object.fromEntries(parts.filter(Boolean).map(([, name, ms]) => [name, Number(ms)]));
}

// Names of the models behind this gateway, the default one first; one alone needs no choice.
export async function models() {
  try {
    const response = await fetch("models", { headers: key ? { Authorization: `Bearer ${key}` } : {} });
    return response.ok ? (await response.json()).models.map((model) => model.name) : [];
  } catch {
    return [];
  }
}
