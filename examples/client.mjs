// Draws a picture on a Stretto server: asks, follows the progress, and fetches what came of it. Node 18 or newer,
// nothing to install:
//
// node examples/client.mjs "a red circle" --set width=128 --set seed=7 --out pictures

import { mkdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";

const PROBLEM = "application/problem+json";
const TRIES = 6;
const BUSY = [429, 503]; // come again after Retry-After
const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

// What the server refused, and where (RFC 9457).
export class Problem extends Error {
  static async of(answer) {
    const json = (answer.headers.get("Content-Type") ?? "").includes("json");
    const said = json ? await answer.json() : {};
    const made = new Problem(said.detail ?? answer.statusText);
    return Object.assign(made, { status: answer.status, type: said.type ?? "about:blank", faults: said.errors ?? [] });
  }
}

export class Stretto {
  constructor(url) {
    this.url = url.replace(/\/+$/, "");
    this.headers = { Accept: `${PROBLEM}, application/vnd.api+json;q=0.9, */*;q=0.5` };
  }

  async login(username, password) {
    const token = await this.call("POST", "/api/login", { username, password });
    this.headers.Authorization = `Bearer ${token.attributes.access_token}`;
  }

  // Sends a call, again when the server is busy or away. Only what may come twice is sent again: GET, DELETE, and a
  // POST with an Idempotency-Key.
  async send(method, path, { body, headers = {} } = {}) {
    const repeatable = method !== "POST" || "Idempotency-Key" in headers;
    for (let attempt = 1; ; attempt++) {
      const last = attempt === TRIES;
      let answer;
      try {
        const sent = { ...this.headers, ...(body && { "Content-Type": "application/json" }), ...headers };
        answer = await fetch(this.url + path, { method, headers: sent, body: body && JSON.stringify(body) });
      } catch (error) {
        if (last || !repeatable) throw error;
        await sleep(attempt);
        continue;
      }
      if (answer.ok) return answer;
      if (last || !BUSY.includes(answer.status)) throw await Problem.of(answer);
      await sleep(Number(answer.headers.get("Retry-After") ?? attempt));
    }
  }

  // Sends JSON and gives the answer's `data`.
  async call(method, path, body, headers) {
    return (await (await this.send(method, path, { body, headers })).json()).data;
  }

  // Queues an invocation and gives its uuid; the key keeps a repeated call from being drawn twice.
  async invoke(body) {
    return (await this.call("POST", "/api/invoke", body, { "Idempotency-Key": crypto.randomUUID() })).uuid;
  }

  // Gives an invocation's events to the last; a lost stream goes on where it was.
  async *events(uuid) {
    let number = 0;
    for (let lost = 0; lost < TRIES; await sleep(++lost)) {
      const headers = { "Last-Event-ID": String(number), Accept: `text/event-stream, ${PROBLEM}` };
      const answer = await this.send("GET", `/api/invocation/${uuid}/events`, { headers });
      try {
        for await (const event of parsed(answer.body)) {
          [number, lost] = [event.number, 0];
          yield event;
          if (["completed", "error"].includes(event.kind)) return;
        }
      } catch (error) {
        if (!(error instanceof TypeError)) throw error; // fetch's word for a connection that broke off
      }
    }
    throw new Error(`the stream of ${uuid} broke off ${TRIES} times`);
  }

  // Gives the state of an invocation again and again until it is over: simpler than events.
  async *polled(uuid, pauseSeconds = 0.5) {
    for (;;) {
      const state = await this.call("GET", `/api/invocation/${uuid}`);
      yield state;
      if (["completed", "error"].includes(state.status)) return;
      await sleep(pauseSeconds);
    }
  }

  // Saves the pictures of a completed invocation.
  async fetch(uuid, folder) {
    const state = await this.call("GET", `/api/invocation/${uuid}`);
    if (state.status === "error") throw new Error(state.message);
    await mkdir(folder, { recursive: true });
    return Promise.all(state.images.map(async (image) => {
      const file = join(folder, image.includes("/") ? basename(image) : `${image}.svg`); // `nsfw` is a drawing
      const answer = await this.send("GET", `/api/invocation/${image}`);
      await writeFile(file, Buffer.from(await answer.arrayBuffer()));
      return file;
    }));
  }
}

// Reads server-sent events: lines `key: value`, an empty one after each event, comments begin with a colon.
async function* parsed(body) {
  let [entry, text] = [{}, ""];
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    const lines = (text + chunk).split("\n");
    text = lines.pop();
    for (const line of lines) {
      const colon = line.indexOf(": ");
      if (colon > 0) entry[line.slice(0, colon)] = line.slice(colon + 2);
      if (line === "" && entry.id) {
        yield { number: Number(entry.id), kind: entry.event, data: JSON.parse(entry.data) };
        entry = {};
      }
    }
  }
}

const text = (initial) => ({ type: "string", default: initial });
const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    set: { type: "string", multiple: true, default: [] }, poll: { type: "boolean", default: false },
    url: text("http://127.0.0.1:45555"), out: text("out"), user: text(""),
  },
});
let pairs;
try {
  pairs = given.set.map((one) => {
    const [, name, json] = /^([^=]+)=(.*)$/s.exec(one) ?? [];
    return [name, JSON.parse(json)];
  });
} catch (error) {
  console.error(`--set takes NAME=JSON, a text in quotes, such as 'scheduler="ddim"' (${error.message})`);
  process.exit(2);
}
try {
  const server = new Stretto(given.url);
  if (given.user) await server.login(...given.user.split(":"));
  const uuid = await server.invoke({ prompt: positionals[0], ...Object.fromEntries(pairs) });
  if (given.poll) for await (const one of server.polled(uuid)) console.error(one.status, one.step, one.total);
  else for await (const one of server.events(uuid)) console.error(one.number, one.kind, one.data.step, one.data.total);
  for (const file of await server.fetch(uuid, given.out)) console.log(file);
} catch (error) {
  console.error(error instanceof Problem ? `${error.status} ${error.type}: ${error.message}` : String(error));
  for (const { pointer, parameter, detail, nearest } of error.faults ?? [])
    console.error(`${pointer ?? parameter}: ${detail}; nearest: ${JSON.stringify(nearest)}`);
  process.exitCode = 1;
}
