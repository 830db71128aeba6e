// ioredis or node-redis (argument 1; resolved by NODE_PATH) behind a line protocol, for clients_test.py: one JSON array
// [verb, arguments...] a line in, one JSON object out.
"use strict";
const readline = require("node:readline");
const path = require("node:path");
const { WaitAll } = require(path.join(__dirname, "..", "..", "..", "kv", "client", "node", "wait_all.js"));

const library = process.argv[2];
let client, waiter;

async function connect(port) {
    if (library === "ioredis") {
        const Redis = require("ioredis");
        client = new Redis(port, { retryStrategy: () => 50 });
        client.on("error", () => {}); // shown by the commands that fail
        await client.call("PING");
    } else {
        client = require("redis").createClient({ url: `redis://127.0.0.1:${port}`, socket: { reconnectStrategy: () => 50 } });
        client.on("error", () => {});
        await client.connect();
    }
}

async function act(verb, ...words) {
    switch (verb) {
        case "connect": return connect(words[0]);
        case "guard": waiter = await WaitAll.on(client, { replicas: async () => words[0] }); return null;
        case "set": await client.set(words[0], words[1]); return null;
        case "wait": return waiter.wait(words[0]);
        case "wait_or_raise": return waiter.waitOrThrow(words[0]);
        case "forget": waiter.forget(words[0]); return null;
        case "id": return waiter.call("CLIENT", "ID");
        default: throw new Error(`no such verb: ${verb}`);
    }
}

(async () => {
    for await (const line of readline.createInterface({ input: process.stdin })) {
        let answer;
        try {
            answer = { value: (await act(...JSON.parse(line))) ?? null };
        } catch (error) {
            answer = { error: error.name, text: error.message };
        }
        process.stdout.write(JSON.stringify(answer) + "\n");
    }
    process.exit(0);
})();
