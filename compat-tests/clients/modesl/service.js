// The kind of service people put behind a Twilio trunk: one modesl connection, a handful of
// subscriptions, calls placed and steered by uuid. Reports and obeys in JSON lines.
'use strict';
const esl = require('modesl');
const readline = require('readline');

const [host, port, password] = process.argv.slice(2);
const say = (kind, more) => process.stdout.write(JSON.stringify({ kind, ...more }) + '\n');
const SUBSCRIBED = ['CHANNEL_CREATE', 'CHANNEL_ANSWER', 'CHANNEL_HANGUP', 'CHANNEL_STATE', 'DTMF'];

const conn = new esl.Connection(host, Number(port), password, () => {
  conn.subscribe(SUBSCRIBED, () => say('ready', {}));
});
conn.on('error', (e) => say('error', { message: String(e) }));
conn.on('esl::end', () => say('end', {}));
conn.on('esl::event::auth::fail', () => say('auth_fail', {}));

for (const name of SUBSCRIBED) {
  conn.on(`esl::event::${name}::*`, (e) => say('event', {
    name,
    uuid: e.getHeader('Unique-ID'),
    state: e.getHeader('Channel-State'),
    direction: e.getHeader('Call-Direction'),
    digit: e.getHeader('DTMF-Digit'),
    cause: e.getHeader('Hangup-Cause'),
    caller: e.getHeader('Caller-Caller-ID-Number'),
    destination: e.getHeader('Caller-Destination-Number'),
  }));
}

const obey = {
  api: ({ command }) => conn.api(command, (r) => say('api', { command, body: r.getBody() })),
  // As published: `bgapi` resolves with the BACKGROUND_JOB event of its own Job-UUID.
  bgapi: ({ command }) => conn.bgapi(command, (r) => say('bgapi', { command, body: r.getBody(), job: r.getHeader('Job-UUID') })),
  execute: ({ app, arg, uuid }) => conn.execute(app, arg, uuid, (r) => say('executed', {
    app, uuid: r.getHeader('Unique-ID'), response: r.getHeader('Application-Response'), application_uuid: r.getHeader('Application-UUID'),
  })),
  filter: ({ header, value }) => conn.filter(header, value, () => say('filtered', {})),
  json: () => conn.events('json', SUBSCRIBED, () => say('json', {})),
  sendEvent: ({ name, headers, body }) => {
    const event = new esl.Event('CUSTOM', name);
    for (const [k, v] of Object.entries(headers)) event.addHeader(k, v);
    if (body) event.addBody(body);
    conn.sendEvent(event, () => say('sent', {}));
  },
  custom: ({ name }) => {
    conn.on('esl::event::CUSTOM::*', (e) => say('custom', { subclass: e.getHeader('Event-Subclass'), colour: e.getHeader('Colour'), body: e.getBody() }));
    conn.subscribe(['CUSTOM', name], () => say('custom_ready', {}));
  },
  disconnect: () => conn.disconnect(),
};
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  obey[command.do](command);
});
