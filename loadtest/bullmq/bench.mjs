// BullMQ beside `cargo bench -p jobs --bench lanes`: the same Redis, no-op jobs, concurrency and payload size.
//   npm install && REDIS_URL=redis://… JOBS=100000 node bench.mjs
// Prints jobs per second from the first claim to the last completion, finished jobs removed at once.
import { randomUUID } from 'node:crypto';
import { Queue, Worker } from 'bullmq';

const url = new URL(process.env.REDIS_URL);
const connection = { host: url.hostname, port: Number(url.port || 6379), maxRetriesPerRequest: null };
const jobs = Number(process.env.JOBS ?? 50_000);
const runs = Number(process.env.RUNS ?? 5);
const concurrency = 100;
const batch = 1_000;

async function run() {
  const name = `bench-${randomUUID()}`;
  const queue = new Queue(name, { connection });
  const options = { removeOnComplete: true, removeOnFail: true };
  for (let from = 0; from < jobs; from += batch) {
    const size = Math.min(batch, jobs - from);
    await queue.addBulk(Array.from({ length: size }, () => ({
      name: 'retrieve', data: { id: randomUUID(), tenant: randomUUID(), priority: 5, payload: {} }, opts: options,
    })));
  }
  let done = 0;
  const started = performance.now();
  const rate = await new Promise((resolve, reject) => {
    const worker = new Worker(name, async () => {}, { connection, concurrency });
    worker.on('completed', () => {
      done += 1;
      if (done === jobs) resolve({ worker, rate: jobs / ((performance.now() - started) / 1_000) });
    });
    worker.on('error', reject);
  });
  await rate.worker.close();
  await queue.obliterate({ force: true });
  await queue.close();
  return rate.rate;
}

const rates = [];
for (let n = 0; n < runs; n += 1) rates.push(await run());
rates.sort((a, b) => a - b);
console.log(`BullMQ no-op, ${jobs} jobs, concurrency ${concurrency}: median ${rates[rates.length >> 1].toFixed(0)} jobs/s`
  + ` of [${rates.map((rate) => rate.toFixed(0)).join(', ')}]`);
