// node-redis against the server at 127.0.0.1:PORT in RESP 2 or 3, without any other flag. Run by `clients`; ends with 0 when every
// answer was right.
const assert = require("node:assert");
const { createClient } = require("redis");

async function main() {
  const [port, version] = process.argv.slice(2);
  const options = { url: `redis://127.0.0.1:${port}` };
  if (version !== "default") options.RESP = Number(version);
  const client = createClient(options);
  const other = createClient(options);
  for (const one of [client, other]) one.on("error", (error) => { console.error(error); process.exit(1); });
  await client.connect();
  await other.connect();
  await client.flushAll();
  assert.strictEqual(await client.set("a", "1"), "OK");
  assert.strictEqual(await client.get("a"), "1");
  assert.strictEqual(await client.get("none"), null);
  await client.mSet({ b: "2", c: "3" });
  assert.deepStrictEqual(await client.mGet(["a", "b", "none"]), ["1", "2", null]);
  assert.strictEqual(await client.incrBy("a", 41), 42);
  assert.deepStrictEqual(await client.multi().set("t", "1").incr("t").get("t").exec(), ["OK", 2, "2"]);
  const answers = await Promise.all(Array.from({ length: 500 }, (_, i) => [client.set(`p:${i}`, String(i)), client.get(`p:${i}`)]).flat());
  answers.forEach((value, i) => assert.strictEqual(value, i % 2 ? String((i - 1) / 2) : "OK"));
  await client.watch("t");
  await other.set("t", "other");
  await assert.rejects(client.multi().set("t", "mine").exec(), /watched/i);
  await client.watch("t");
  assert.deepStrictEqual(await client.multi().set("t", "mine").exec(), ["OK"]);
  const found = new Set();
  for await (const keys of client.scanIterator({ MATCH: "p:*", COUNT: 37 })) [keys].flat().forEach((key) => found.add(key));
  assert.strictEqual(found.size, 500);
  await client.set("x", "v", { PX: 150 });
  const left = await client.pTTL("x");
  assert(left > 0 && left <= 150, String(left));
  await new Promise((done) => setTimeout(done, 300));
  assert.strictEqual(await client.get("x"), null);
  await assert.rejects(client.incr("t"), /value is not an integer or out of range/);
  const settings = await client.configGet("save");
  assert.strictEqual(settings.save, "");
  await client.close();
  await other.close();
  console.log(`node-redis ${require("redis/package.json").version}, RESP ${version}: fine`);
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
