// npm drachtio-fsmrf 4: the Endpoint of a call, over the call's own connection. drachtio's SIP server, which would have sent the call here, is
// no package; the dialog it would give is not asked for streams.
'use strict'
const readline = require('readline')
const esl = require('drachtio-modesl')
const Endpoint = require('drachtio-fsmrf/lib/endpoint')

const tell = (kind, more = {}) => console.log(JSON.stringify({ kind, ...more }))
const events = ['connect', 'connect_failed', 'disconnect', 'play_audio', 'kill_audio', 'json', 'transcription'].map((name) => `mod_audio_fork::${name}`)
let endpoint = null

const server = new esl.Server({ port: Number(process.argv[2]), host: '127.0.0.1', myevents: false }, () => tell('listening'))
server.on('connection::ready', (conn) => {
  endpoint = new Endpoint(conn, null, { srf: null }, { customEvents: events })
  endpoint.on('ready', () => tell('ready', { uuid: endpoint.uuid, callId: endpoint.sip.callId }))
  endpoint.on('destroy', () => tell('destroy'))
  endpoint.on('dtmf', (event) => tell('dtmf', { digit: event.dtmf }))
  for (const name of events) endpoint.on(name, (body) => tell('event', { name: name.split('::')[1], body }))
})

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const { call, args } = JSON.parse(line)
  try {
    await endpoint[call](...args)
    tell('done', { call })
  } catch (error) {
    tell('failed', { call, why: error.message })
  }
})
