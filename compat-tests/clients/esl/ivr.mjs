// An outbound server on npm `esl`, with its defaults: all events of the call, in JSON. Answers, plays, collects digits.
import { FreeSwitchServer } from 'esl';

const say = (kind, more) => process.stdout.write(JSON.stringify({ kind, ...more }) + '\n');
const quiet = { debug() {}, info() {}, error: (text, data) => console.error(text, data) };

const server = new FreeSwitchServer({ logger: quiet });
server.on('error', (error) => say('error', { message: String(error) }));
server.on('connection', async (call, { uuid, data, headers }) => {
  try {
    say('call', { uuid, caller: data['Caller-Caller-ID-Number'], mode: headers['Socket-Mode'], control: headers.Control, sip: data.variable_sip_call_id });
    call.on('DTMF', ({ body }) => say('digit', { digit: body['DTMF-Digit'] }));
    call.on('CHANNEL_HANGUP_COMPLETE', ({ body }) => say('hangup', { cause: body['Hangup-Cause'] }));
    call.once('cleanup_linger', () => { say('linger', {}); void call.exit().then(() => say('bye', {})); });
    await call.linger();
    await call.command('answer');
    const played = await call.command('playback', 'tone_stream://%(600,0,500)');
    say('played', { response: played.body['Application-Response'] });
    const job = await call.bgapi(`uuid_getvar ${uuid} channel_name`, 5000);
    say('asked', { name: job.body._body });
    const asked = await call.command('play_and_get_digits', '2 2 1 5000 # tone_stream://%(300,0,700) silence_stream://10 pin \\d\\d 3000');
    say('collected', { pin: asked.body.variable_pin });
    if (asked.body.variable_pin === '73') {
      await call.hangup('USER_BUSY');
    }
  } catch (error) {
    say('failed', { message: String(error) });
  }
});
await server.listen({ host: '127.0.0.1', port: Number(process.argv[2]) });
say('listening', {});
