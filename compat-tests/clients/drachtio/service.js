// drachtio-modesl 1.3.1: an inbound connection and an outbound server in one process.
'use strict';
const esl = require('drachtio-modesl');
const readline = require('readline');
const [host, port, password, appPort] = process.argv.slice(2);
const say = (kind, more) => process.stdout.write(JSON.stringify({ kind, ...more }) + '\n');

const server = new esl.Server({ port: Number(appPort), myevents: false }, () => say('listening', {}));
server.on('connection::ready', (conn) => {
  const info = conn.getInfo();
  say('call', { uuid: info.getHeader('Channel-Unique-ID'), agent: info.getHeader('variable_sip_user_agent'), call_id: info.getHeader('variable_sip_call_id'),
    media: info.getHeader('variable_local_media_port'), sdp: info.getHeader('variable_rtp_local_sdp_str') });
  conn.on('esl::event::DTMF::*', (e) => say('digit', { digit: e.getHeader('DTMF-Digit') }));
  conn.on('esl::event::CHANNEL_EXECUTE_COMPLETE::*', (e) => say('complete', { app: e.getHeader('Application') }));
  conn.on('esl::end', () => say('call_end', {}));
  conn.send('event json CHANNEL_EXECUTE CHANNEL_EXECUTE_COMPLETE CHANNEL_PROGRESS_MEDIA CHANNEL_CALLSTATE CHANNEL_ANSWER DTMF DETECTED_TONE SWITCH_EVENT_PLAYBACK_START SWITCH_EVENT_PLAYBACK_STOP CUSTOM conference::maintenance');
  conn.filter('Unique-ID', info.getHeader('Channel-Unique-ID'), () => {
    conn.execute('playback', 'tone_stream://%(600,0,700)', () => say('played', {}));
  });
});

const conn = new esl.Connection(host, Number(port), password, () => {
  conn.subscribe(['BACKGROUND_JOB', 'CHANNEL_HANGUP_COMPLETE', 'HEARTBEAT'], () => say('ready', {}));
});
conn.on('error', (e) => say('error', { message: String(e) }));
conn.on('esl::event::CHANNEL_HANGUP_COMPLETE::*', (e) => say('hangup', { uuid: e.getHeader('Unique-ID'), cause: e.getHeader('Hangup-Cause') }));

const obey = {
  api: ({ command }) => conn.api(command, (r) => say('api', { command, body: r.getBody() })),
  bgapi: ({ command, job }) => conn.bgapi(command, '', job, (r) => say('bgapi', { command, body: r.getBody(), job: r.getHeader('Job-UUID') })),
};
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  obey[command.do](command);
});
