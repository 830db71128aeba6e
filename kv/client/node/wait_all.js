// Waits until every replica holds the writes of a connection, on servers with WAITALL and, as well as that can be done from
// outside, on those without. For ioredis and node-redis. What it can not promise stands in ../README.md; read that first.
//
//   const client = new Redis(7001);                   // or await createClient(...).connect(); one connection for this alone
//   const waiter = await WaitAll.on(client);          // before the writes: remembers which connection they go over
//   await client.set("account", 100);
//   await waiter.waitOrThrow(1000);                   // or: const outcome = await waiter.wait(1000); outcome.all, .missing
//
// Both clients send everything over their one connection, and what stands behind a WAIT waits: give it a client of its own
// (client.duplicate()). One call at a time.
"use strict";

/** Of waitOrThrow: time is over and somebody is missing; `outcome` has the numbers. The write stays where it is. */
class NotAll extends Error {
    constructor(outcome) {
        super(`${outcome.acked} of ${outcome.required} replicas hold the writes, missing: ${outcome.missing.join(", ") || "not known"} (${outcome.reason})`);
        this.name = "NotAll";
        this.outcome = outcome;
    }
}

/** The client has reconnected since the WaitAll was made (or talks to another server): the new connection knows nothing of the
 *  writes before, and would call them held at once. Nothing is known about them. */
class ConnectionChanged extends Error {
    constructor(message) {
        super(message);
        this.name = "ConnectionChanged";
    }
}

/** The server is a replica. */
class NotPrimary extends Error {
    constructor(message) {
        super(message);
        this.name = "NotPrimary";
    }
}

class WaitAll {
    /** `replicas`: "host:port" of those that must be counted though the server does not list them, or a function, async or not,
     *  that returns them (Sentinel's list, say); asked at every look. A replica that this object has seen is counted until
     *  forget(): a server outside a cluster lists connected ones only. */
    static async on(client, { replicas = [], sliceMs = 250 } = {}) {
        if (!(sliceMs >= 1)) throw new RangeError("sliceMs must be at least 1");
        const waiter = new WaitAll(client, replicas, sliceMs);
        waiter.connection = (await waiter.look()).connection;
        return waiter;
    }

    /** Use WaitAll.on(). */
    constructor(client, replicas, sliceMs) {
        this.replicas = replicas;
        this.sliceMs = sliceMs;
        this.seen = new Set();
        this.hasWaitAll = undefined; // not known yet
        if (typeof client.sendCommand === "function" && typeof client.call !== "function")
            this.call = (...words) => client.sendCommand(words.map(String)); // node-redis
        else this.call = (...words) => client.call(...words.map(String)); // ioredis
    }

    /** The operator has removed it for good. */
    forget(replica) {
        this.seen.delete(replica);
    }

    /** Throws NotAll, and what wait() throws. */
    async waitOrThrow(timeoutMs) {
        const outcome = await this.wait(timeoutMs);
        if (!outcome.all) throw new NotAll(outcome);
        return outcome;
    }

    /** {all, acked, required, missing, reason, exact}, as in ../README.md, within about timeoutMs (> 0) and the round trips of one
     *  look. Throws ConnectionChanged, NotPrimary, what the client throws; after any of them nothing is known. */
    async wait(timeoutMs) {
        if (!(timeoutMs >= 1)) throw new RangeError("timeoutMs must be at least 1: a wait without a limit is not offered");
        const end = performance.now() + timeoutMs;
        if (this.hasWaitAll !== false) {
            const outcome = await this.askServer(Math.round(timeoutMs));
            if (outcome !== null) return outcome;
        }
        return this.askAndCompare(end);
    }

    async askServer(timeoutMs) {
        let reply;
        try {
            reply = await this.call("WAITALL", timeoutMs);
        } catch (error) {
            if (!/^(ERR )?unknown command/i.test(error.message)) throw error;
            this.hasWaitAll = false;
            return null;
        }
        this.hasWaitAll = true;
        this.check(await this.identify(await this.info("server"))); // after it: the connection that waited is the one that wrote
        const { acked, required, missing } = waitAllFields(reply);
        const all = acked === required;
        return { all, acked, required, missing, reason: all ? "held" : "timeout", exact: true };
    }

    async askAndCompare(end) {
        let before = await this.look();
        for (;;) {
            this.check(before.connection);
            if (!before.primary) throw new NotPrimary("the server is a replica");
            const required = before.listed.size;
            const leftMs = Math.max(1, Math.round(end - performance.now()));
            // In slices: whoever is removed while we wait is waited for no longer than that.
            const acked = required > 0 ? Number(await this.call("WAIT", required, Math.min(leftMs, this.sliceMs))) : 0;
            const after = await this.look();
            this.check(after.connection);
            const stable = sameTopology(before, after);
            if (stable && required > 0 && acked >= required) return { all: true, acked, required, missing: [], reason: "held", exact: false };
            const known = after.listed.size;
            if (performance.now() >= end || known === 0) {
                const missing = [...after.listed].filter(([, offset]) => offset === null || offset < before.offset).map(([name]) => name).sort();
                const reason = known === 0 ? "no replica is known" : stable ? "timeout" : "topology kept changing";
                return { all: false, acked: Math.min(acked, known), required: known, missing, reason, exact: false };
            }
            before = after;
        }
    }

    check(connection) {
        if (connection !== this.connection) throw new ConnectionChanged(`was ${this.connection}, is ${connection}`);
    }

    async info(...sections) {
        const fields = new Map();
        for (const line of String(await this.call("INFO", ...sections)).split("\r\n")) {
            const colon = line.indexOf(":");
            if (colon > 0 && !line.startsWith("#")) fields.set(line.slice(0, colon), line.slice(colon + 1));
        }
        return fields;
    }

    async identify(info) {
        return `${info.get("run_id")}/${await this.call("CLIENT", "ID")}`;
    }

    async look() {
        const info = await this.info();
        const listed = new Map(); // "host:port" -> acknowledged offset, or null when it is not online
        let history = info.get("master_replid");
        for (let number = 0; info.has(`slave${number}`); number++) {
            const replica = new Map(info.get(`slave${number}`).split(",").map((field) => field.split("=", 2)));
            listed.set(`${replica.get("ip")}:${replica.get("port")}`, replica.get("state") === "online" ? Number(replica.get("offset")) : null);
        }
        let names;
        if (info.get("cluster_enabled") === "1") {
            const rows = String(await this.call("CLUSTER", "NODES")).split("\n").filter(Boolean).map((line) => line.split(" "));
            const me = rows.find((row) => row[2].split(",").includes("myself"));
            history += `/${me[6]}`; // the epoch
            names = rows.filter((row) => row[3] === me[0]).map((row) => row[1].split("@")[0].split(",")[0]); // failed ones too
        } else { // no table of its own: what was seen, and what the application knows
            for (const name of listed.keys()) this.seen.add(name);
            names = [...this.seen, ...(typeof this.replicas === "function" ? await this.replicas() : this.replicas)];
        }
        for (const name of names) if (!listed.has(name)) listed.set(name, null);
        // The number of the connection comes last: if it is ours, all of the above came over it.
        const connection = await this.identify(info);
        return { connection, primary: info.get("role") === "master", history, listed, offset: Number(info.get("master_repl_offset")) };
    }
}

function sameTopology(one, other) {
    return one.connection === other.connection && one.primary === other.primary && one.history === other.history &&
        one.listed.size === other.listed.size && [...one.listed.keys()].every((name) => other.listed.has(name));
}

/** RESP2: [acked, required, missing]; RESP3: a map, as an object, a Map or the pairs in one list, as the client likes. */
function waitAllFields(reply) {
    let fields = reply;
    if (reply instanceof Map) fields = Object.fromEntries(reply);
    else if (Array.isArray(reply) && typeof reply[0] === "number") fields = { acked: reply[0], required: reply[1], missing: reply[2] };
    else if (Array.isArray(reply)) fields = Object.fromEntries(reply.flatMap((name, i) => (i % 2 ? [] : [[String(name), reply[i + 1]]])));
    return { acked: Number(fields.acked), required: Number(fields.required), missing: [...fields.missing].map(String) };
}

module.exports = { WaitAll, NotAll, ConnectionChanged, NotPrimary };
