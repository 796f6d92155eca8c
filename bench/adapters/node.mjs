// Node BullMQ, set up as its documentation shows. Answers the same lines as child.py.
//
//   node node.mjs PACKAGE_JSON ORDER

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const { Queue, Worker } = createRequire(process.argv[2])('bullmq');
const order = JSON.parse(process.argv[3]);
const connection = { host: '127.0.0.1', port: order.port };
const MAIL = { email: 'somebody@example.com', name: 'Some Body', token: '4f2c9a1e7b', locale: 'en' };
const ROW = { id: 4711, name: 'Zoë Müller', amount: 1234.5, paid: true, tags: ['new', 'vip'], note: null };
const ADD_IN_BULK = 1000;

const mail = (i) => ({ i, type: 'sendVerificationEmail', data: MAIL });
const rowsOf = (kilobytes) => Array(Math.floor((kilobytes * 1024) / JSON.stringify(ROW).length)).fill(ROW);
const payload = (i, kilobytes) => (kilobytes ? { ...mail(i), rows: rowsOf(kilobytes) } : mail(i));
const nowUs = () => Number(process.hrtime.bigint() / 1000n);
const say = (event, values = {}) => process.stdout.write(`${JSON.stringify({ event, ...values })}\n`);

let seen, doneAt, runs, firstUs, lastUs, waits;

function expect(size, at) {
  seen = new Uint8Array(size);
  doneAt = at;
  runs = firstUs = lastUs = 0;
  waits = [];
}

async function consume({ data }) {
  runs += 1;
  seen[data.i] = 1;
  if ('t' in data) waits.push(nowUs() - data.t);
  if (runs === 1) firstUs = nowUs();
  if (runs === doneAt) {
    lastUs = nowUs();
    say('done');
  }
  if (order.sleep_ms) await new Promise((resolve) => setTimeout(resolve, order.sleep_ms));
}

const options = {
  connection,
  concurrency: order.concurrency,
  lockDuration: 60000,
  stalledInterval: 60000,
  removeOnComplete: { count: 1000 },
  removeOnFail: { count: 5000 },
};

const cpuUs = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

async function add(queue, count, inFlight, kilobytes) {
  if (!inFlight) {
    for (let start = 0; start < count; start += ADD_IN_BULK) {
      const length = Math.min(ADD_IN_BULK, count - start);
      const data = (k) => payload(start + k, kilobytes);
      await queue.addBulk(Array.from({ length }, (_, k) => ({ name: 'noop', data: data(k) })));
    }
    return;
  }
  let next = 0;
  const lane = async () => {
    while (next < count) await queue.add('noop', payload(next++, kilobytes));
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}

expect(0, 0);
const workers = [];
let queue;
if (order.role === 'producer') {
  queue = new Queue(order.queues[0], { connection });
  await queue.waitUntilReady();
} else {
  for (const name of order.queues) workers.push(new Worker(name, consume, options));
  for (const worker of workers) worker.on('error', (error) => console.error(error));
  await Promise.all(workers.map((worker) => worker.waitUntilReady()));
}
say('ready');

const answers = {
  expect: async ({ size, done_at }) => expect(size, done_at),
  stats: async () => ({
    runs,
    distinct: seen.reduce((sum, one) => sum + one, 0),
    waits_us: waits,
    cpu_us: cpuUs(),
    first_us: firstUs,
    last_us: lastUs,
  }),
  add: async ({ count, in_flight, kilobytes }) => {
    const cpu = cpuUs();
    const start = nowUs();
    await add(queue, count, in_flight, kilobytes);
    return { seconds: (nowUs() - start) / 1e6, cpu_us: cpuUs() - cpu };
  },
  stop: async () => {
    await Promise.all(workers.map((worker) => worker.close()));
    await queue?.close();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  say(request.op, await answers[request.op](request));
  if (request.op === 'stop') break;
}
