// ioredis against the server at 127.0.0.1:PORT, without any special flag. Run by `clients`; ends with 0 when every answer was right.
const assert = require("node:assert");
const { Redis } = require("ioredis");

async function main() {
  const port = Number(process.argv[2]);
  const client = new Redis(port, "127.0.0.1");
  const other = new Redis(port, "127.0.0.1");
  await client.flushall();
  assert.strictEqual(await client.set("a", "1"), "OK");
  assert.strictEqual(await client.get("a"), "1");
  assert.strictEqual(await client.get("none"), null);
  await client.mset("b", "2", "c", "3");
  assert.deepStrictEqual(await client.mget("a", "b", "none"), ["1", "2", null]);
  assert.strictEqual(await client.incrby("a", 41), 42);
  assert.deepStrictEqual(await client.multi().set("t", "1").incr("t").get("t").exec(), [[null, "OK"], [null, 2], [null, "2"]]);
  const pipeline = client.pipeline();
  for (let i = 0; i < 500; i++) pipeline.set(`p:${i}`, i).get(`p:${i}`);
  const answers = await pipeline.exec();
  answers.forEach(([error, value], i) => assert.deepStrictEqual([error, value], [null, i % 2 ? String((i - 1) / 2) : "OK"]));
  await client.watch("t");
  await other.set("t", "other");
  assert.strictEqual(await client.multi().set("t", "mine").exec(), null);
  await client.watch("t");
  assert.deepStrictEqual(await client.multi().set("t", "mine").exec(), [[null, "OK"]]);
  const found = new Set();
  for await (const keys of client.scanStream({ match: "p:*", count: 37 })) keys.forEach((key) => found.add(key));
  assert.strictEqual(found.size, 500);
  await client.set("x", "v", "PX", 150);
  const left = await client.pttl("x");
  assert(left > 0 && left <= 150, String(left));
  await new Promise((done) => setTimeout(done, 300));
  assert.strictEqual(await client.get("x"), null);
  await assert.rejects(client.incr("t"), /value is not an integer or out of range/);
  client.disconnect();
  other.disconnect();
  console.log(`ioredis ${require("ioredis/package.json").version}: fine`);
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
