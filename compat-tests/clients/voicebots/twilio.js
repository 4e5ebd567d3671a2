// npm `@openai/agents-extensions`: the published adapter between a Twilio media stream and a Realtime model, whose address is the first argument.
import { WebSocketServer } from 'ws'
import { RealtimeAgent, RealtimeSession } from '@openai/agents-realtime'
import { TwilioRealtimeTransportLayer } from '@openai/agents-extensions'

const tell = (kind, more = {}) => console.log(JSON.stringify({ kind, ...more }))
const [model] = process.argv.slice(2)
const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })

server.on('listening', () => tell('listening', { port: server.address().port }))
server.on('connection', async (twilioWebSocket, request) => {
  tell('connection', { path: request.url })
  const transport = new TwilioRealtimeTransportLayer({ twilioWebSocket })
  transport.on('*', (event) => {
    if (event.type === 'twilio_message' && event.message.event !== 'media') tell('twilio', { message: event.message })
  })
  transport.on('error', (event) => tell('error', { text: String(event.error?.message ?? event.error ?? event) }))
  const session = new RealtimeSession(new RealtimeAgent({ name: 'bot', instructions: 'Say hello.' }), { transport })
  session.on('error', (event) => tell('error', { text: String(event.error?.message ?? event.error) }))
  twilioWebSocket.on('close', (code) => tell('close', { code }))
  await session.connect({ apiKey: 'sk-hush-model', url: model })
  tell('connected')
})
process.on('unhandledRejection', (reason) => tell('error', { text: String(reason) }))
