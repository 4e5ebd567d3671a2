// An outbound service on modesl: answers, plays, collects a digit, says goodbye.
'use strict';
const esl = require('modesl');
const [port, greeting] = process.argv.slice(2);
const say = (kind, more) => process.stdout.write(JSON.stringify({ kind, ...more }) + '\n');

const server = new esl.Server({ port: Number(port), myevents: true }, () => say('listening', {}));
server.on('connection::ready', (conn) => {
  const info = conn.getInfo();
  say('call', { uuid: info.getHeader('Unique-ID'), caller: info.getHeader('Caller-Caller-ID-Number'), name: info.getHeader('Event-Name') });
  conn.on('esl::event::DTMF::*', (e) => say('digit', { digit: e.getHeader('DTMF-Digit') }));
  conn.on('esl::end', () => say('end', {}));
  conn.execute('answer', '', () => {
    say('answered', {});
    conn.execute('play_and_get_digits', `2 2 1 5000 # ${greeting} silence_stream://10 pin \\d\\d`, (done) => {
      say('collected', { app: done.getHeader('Application'), pin: done.getHeader('variable_pin') });
      conn.execute('hangup', 'NORMAL_CLEARING', () => {});
    });
  });
});
