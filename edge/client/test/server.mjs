// A small service of the API's shape on a free port, which records what it was asked.
import http from "node:http";

/** Starts it; `answer(request)` gives `{status?, headers?, body?}`, or null to hang up. */
export async function serve(answer) {
  const requests = [];
  const server = http.createServer(async (incoming, response) => {
    let text = "";
    for await (const chunk of incoming) text += chunk;
    const url = new URL(incoming.url, "http://localhost");
    const request = {
      method: incoming.method,
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: incoming.headers,
      body: text ? JSON.parse(text) : undefined,
      index: requests.length,
    };
    requests.push(request);
    const given = await answer(request);
    if (!given) return incoming.socket.destroy();
    response.writeHead(given.status ?? 200, given.headers);
    response.end(typeof given.body === "string" ? given.body : JSON.stringify(given.body ?? {}));
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return {
    base: `http://127.0.0.1:${server.address().port}`,
    requests,
    events: () => requests.filter(({ path }) => path.endsWith("/events")),
    async close() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

/** A `Storage` in memory. */
export function memory() {
  const map = new Map();
  return {
    map,
    getItem: (key) => map.get(key) ?? null,
    setItem: (key, value) => map.set(key, value),
    removeItem: (key) => map.delete(key),
  };
}
