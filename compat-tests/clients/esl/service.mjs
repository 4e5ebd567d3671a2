// A click-to-dial service on npm `esl`: one client, jobs, applications by uuid. JSON lines in and out.
import { FreeSwitchClient } from 'esl';
import readline from 'node:readline';

const [host, port, password] = process.argv.slice(2);
const say = (kind, more) => process.stdout.write(JSON.stringify({ kind, ...more }) + '\n');
const quiet = { debug() {}, info() {}, error: (text, data) => console.error(text, data) };

const client = new FreeSwitchClient({ host, port: Number(port), password, logger: quiet });
let call;
client.on('connect', async (connected) => {
  call = connected;
  call.on('freeswitch_disconnect_notice', (notice) => say('notice', { body: notice.body }));
  for (const name of ['CHANNEL_ANSWER', 'CHANNEL_HANGUP_COMPLETE', 'DTMF', 'CUSTOM']) {
    call.on(name, ({ body }) => say('event', {
      name, uuid: body['Unique-ID'], digit: body['DTMF-Digit'], cause: body['Hangup-Cause'], subclass: body['Event-Subclass'], text: body._body,
    }));
  }
  await call.event_json('CHANNEL_ANSWER', 'CHANNEL_EXECUTE_COMPLETE', 'CHANNEL_HANGUP_COMPLETE', 'DTMF', 'BACKGROUND_JOB', 'CUSTOM', 'shop::order');
  say('ready', {});
});
client.on('error', (error) => say('error', { message: String(error) }));
client.on('reconnecting', (retry) => say('reconnecting', { retry }));
client.connect();

const obey = {
  api: async ({ command }) => ({ body: (await call.api(command)).body }),
  bgapi: async ({ command }) => ({ body: (await call.bgapi(command, 20000)).body._body }),
  command: async ({ uuid, app, arg }) => {
    const { body } = await call.command_uuid(uuid, app, arg, 10000);
    return { app, uuid: body['Unique-ID'], response: body['Application-Response'], variable: body.variable_colour };
  },
  execute: async ({ uuid, app, arg, loops }) => ({ reply: (await call.execute_uuid(uuid, app, arg, loops)).headers['Reply-Text'] }),
  hangup: async ({ uuid, cause }) => ({ reply: (await call.hangup_uuid(uuid, cause)).headers['Reply-Text'] }),
  sendevent: async ({ name, headers }) => ({ reply: (await call.sendevent(name, headers)).headers['Reply-Text'] }),
  filter: async ({ header, value }) => ({ reply: (await call.filter(header, value)).headers['Reply-Text'] }),
  filter_delete: async ({ header, value }) => ({ reply: (await call.filter_delete(header, value)).headers['Reply-Text'] }),
  exit: async () => ({ reply: (await call.exit()).headers['Reply-Text'] }),
};
readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const command = JSON.parse(line);
  try {
    say(command.do, { command: command.command, ...await obey[command.do](command) });
  } catch (error) {
    say('failed', { command: command.command, reply: error.res?.headers?.['Reply-Text'], body: error.res?.body, message: String(error) });
  }
});
