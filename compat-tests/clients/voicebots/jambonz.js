// npm `@jambonz/sdk`: the handler of a `listen` verb. Says what it hears; plays, marks, kills and leaves when told to.
import http from 'node:http'
import readline from 'node:readline'
import { createEndpoint } from '@jambonz/sdk/websocket'

const tell = (kind, more = {}) => console.log(JSON.stringify({ kind, ...more }))
const server = http.createServer()
const makeService = createEndpoint({ server })
let current = null
let echoes = true

makeService.audio({ path: '/audio' }).on('connection', (stream) => {
  current = stream
  let octets = 0
  tell('connection', { metadata: stream.metadata, rate: stream.sampleRate })
  stream.on('audio', (data) => {
    octets += data.length
    if (octets >= 16000) { tell('audio', { octets }); octets = 0 }
    if (echoes) stream.sendAudio(data)
  })
  stream.on('dtmf', (evt) => tell('dtmf', { digit: evt.digit }))
  stream.on('playDone', (evt) => tell('playDone', { id: evt.id }))
  stream.on('mark', (evt) => tell('mark', evt))
  stream.on('close', (code) => tell('close', { code }))
  stream.on('error', (err) => tell('error', { text: err.message }))
})

const tone = (hz, seconds, rate) => {
  const out = Buffer.alloc(rate * seconds * 2)
  for (let n = 0; n < rate * seconds; n++) out.writeInt16LE(Math.round(9000 * Math.sin(2 * Math.PI * hz * n / rate)), 2 * n)
  return out
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const todo = JSON.parse(line)
  if (todo.do === 'echo') echoes = todo.on
  if (todo.do === 'say') current.sendAudio(tone(todo.hz, todo.seconds, current.sampleRate))
  if (todo.do === 'clip') current.playAudio(tone(todo.hz, todo.seconds, 8000).toString('base64'), { audioContentType: 'raw', sampleRate: 8000, id: todo.id })
  if (todo.do === 'mark') current.sendMark(todo.name)
  if (todo.do === 'kill') current.killAudio()
  if (todo.do === 'leave') current.close()
})

server.listen(0, '127.0.0.1', () => tell('listening', { port: server.address().port }))
