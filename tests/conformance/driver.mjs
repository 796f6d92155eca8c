// The Node side of the conformance tests: producers for both sides, and a Worker that plays a script.
//
//   node driver.mjs HOST PORT
//   stdin   {"id": 1, "op": "queue", "args": [0, "work", "add", "welcome", {}]}    0 is the database
//   stdout  {"id": 1, "result": ...}  or  {"id": 1, "error": "..."}

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

const {
  DelayedError, FlowProducer, Queue, RateLimitError, UnrecoverableError, WaitingChildrenError, Worker,
} = createRequire(new URL('../interop/package.json', import.meta.url))('bullmq');

const connection = (db) => ({ host: process.argv[2], port: Number(process.argv[3]), db });
const queues = new Map();
const workers = [];
const flows = [];
const held = new Set();

const mute = (object) => object.on('error', (error) => console.error(error.message));

function queue(db, name) {
  const key = `${db} ${name}`;
  if (!queues.has(key)) queues.set(key, mute(new Queue(name, { connection: connection(db) })));
  return queues.get(key);
}

// Plays one run of a job; Python's twin is `play` in ours.py.
async function play(steps, db, worker, job, token) {
  for (const [step, value] of steps) {
    if (step === 'log') await job.log(value);
    if (step === 'progress') await job.updateProgress(value);
    if (step === 'wait') await pause(value);
    if (step === 'hold') await new Promise((release) => held.add(release));
    if (step === 'child') {
      const [name, options] = value;
      await queue(db, 'kids').add(name, {}, { ...options, parent: { id: job.id, queue: job.queueQualifiedName } });
    }
    if (step === 'childrenValues') return job.getChildrenValues();
    if (step === 'returns') return value;
    if (step === 'throws') throw new Error(value);
    if (step === 'unrecoverable') throw new UnrecoverableError(value);
    if (step === 'delay') {
      await job.moveToDelayed(Date.now() + value, token);
      throw new DelayedError();
    }
    if (step === 'rateLimit') {
      await worker.rateLimit(value);
      throw new RateLimitError();
    }
    if (step === 'awaitChildren' && (await job.moveToWaitingChildren(token))) throw new WaitingChildrenError();
  }
}

const operations = {
  // Calls a method of a Queue.
  queue: async (db, name, method, ...args) => {
    const result = await queue(db, name)[method](...args);
    return method === 'getJobCounts' ? result : null;
  },

  // Calls a method of a Job.
  job: async (db, name, id, method, ...args) => {
    await (await queue(db, name).getJob(id))[method](...args);
    return null;
  },

  // Adds a flow: a tree of {name, queueName, data, opts, children}.
  flow: async (db, tree) => {
    const flow = mute(new FlowProducer({ connection: connection(db) }));
    flows.push(flow);
    await flow.add(tree);
  },

  // Takes the next job and forgets it, as a worker that dies.
  abandon: async (db, name, options) => {
    const worker = mute(new Worker(name, null, { autorun: false, connection: connection(db), ...options }));
    await worker.getNextJob('token of the dead');
    await worker.close(true);
  },

  // Starts a Worker that plays `script`: for each job name the steps of its first run, its second, ...; then the last.
  start: async (db, name, script, options) => {
    const runs = new Map();
    const consume = (job, token) => {
      const run = runs.get(job.id) ?? 0;
      runs.set(job.id, run + 1);
      const takes = script[job.name] ?? [[]];
      return play(takes[Math.min(run, takes.length - 1)], db, worker, job, token);
    };
    const worker = mute(new Worker(name, consume, { connection: connection(db), ...options }));
    workers.push(worker);
    await worker.waitUntilReady();
  },

  // Lets go on what stands at `hold`.
  release: async () => {
    held.forEach((release) => release());
    held.clear();
  },

  // Closes the Workers, which wait for what they run.
  stop: async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.close()));
  },

  // Closes everything, so that the next test finds nobody listening.
  reset: async () => {
    const open = [...workers.splice(0).map((worker) => worker.close(true)), ...flows.splice(0).map((flow) => flow.close())];
    open.push(...[...queues.values()].map((each) => each.close()));
    queues.clear();
    await Promise.allSettled(open);
  },
};

async function answer(line) {
  const { id, op, args } = JSON.parse(line);
  let reply;
  try {
    reply = { id, result: await operations[op](...args) };
  } catch (error) {
    reply = { id, error: `${error.name}: ${error.message}` };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}

process.on('unhandledRejection', (error) => console.error(error));
createInterface({ input: process.stdin }).on('line', answer).on('close', () => process.exit(0));
