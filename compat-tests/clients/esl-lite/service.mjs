// A monitor on npm `esl-lite`: events, log lines, jobs, and a call's audio over unicast. JSON lines in and out.
import { FreeSwitchClient } from 'esl-lite';
import readline from 'node:readline';

const [host, port, password] = process.argv.slice(2);
const say = (kind, more) => process.stdout.write(JSON.stringify({ kind, ...more }) + '\n');
const shout = (data, text) => console.error(text, data);
const logger = { trace() {}, debug() {}, info() {}, warn: shout, error: shout, fatal: shout, child: () => logger };

const client = new FreeSwitchClient({ host, port: Number(port), password, logger });
const fields = (data) => {
  const body = data.body.data ?? data.body;
  return { name: body['Event-Name'], uuid: body['Unique-ID'], subclass: body['Event-Subclass'], text: body._body, cause: body['Hangup-Cause'] };
};
for (const name of ['CHANNEL_CREATE', 'CHANNEL_ANSWER', 'CHANNEL_HANGUP_COMPLETE']) client.on(name, (data) => say('event', fields(data)));
client.custom.on('shop::order', (data) => say('custom', fields(data)));
client.logs.on('log', (data) => say('log', { text: String(data.body), level: data.headers.getNumber?.('log-level') }));

const LIMIT = 10000;
const answer = (result) => (result instanceof Error
  ? { error: result.constructor.name, message: String(result) }
  : { ok: true, body: String(result.body?.data?._body ?? result.body ?? ''), reply: result.headers?.getString?.('reply-text') });
const obey = {
  bgapi: ({ command }) => client.bgapi(command, LIMIT),
  command: ({ uuid, app, arg }) => client.command_uuid(uuid, app, arg, LIMIT),
  execute: ({ uuid, app, arg }) => client.execute_uuid(uuid, app, arg, {}, LIMIT),
  hangup: ({ uuid, cause }) => client.hangup_uuid(uuid, cause, LIMIT),
  unicast: ({ uuid, ...args }) => client.unicast_uuid(uuid, args.way, LIMIT),
  log: ({ level }) => client.log(level, LIMIT),
  nolog: () => client.nolog(LIMIT),
  sendevent: ({ name, headers, text }) => client.sendeventWithBody(name, headers, 'text/plain', Buffer.from(text), LIMIT),
};
readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const command = JSON.parse(line);
  const result = await obey[command.do](command);
  say(command.do, { command: command.command, app: command.app, ...answer(result) });
});
const ready = await client.bgapi('version', LIMIT);
say('ready', answer(ready));
