// A phone on SIP.js or JsSIP in Node: service.js LIBRARY URL USER PASSWORD DOMAIN. Takes and prints JSON lines.
// Its media is a plain description of the test's making: the test has the RTP socket.
const WebSocket = require('ws')

const [library, url, user, password, domain] = process.argv.slice(2)
const say = (kind, fields = {}) => console.log(JSON.stringify({ kind, ...fields }))

// Both libraries look for a browser's WebSocket. The certificate is the switch's own.
globalThis.WebSocket = class extends WebSocket {
  constructor (address, protocols) { super(address, protocols, { rejectUnauthorized: false }) }
}

let port
const description = () => [
  'v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 'c=IN IP4 127.0.0.1', 't=0 0', `m=audio ${port} RTP/AVP 0 101`,
  'a=rtpmap:101 telephone-event/8000', ''].join('\r\n')

// What SIP.js asks of a media engine.
class Plain {
  close () {}
  async getDescription () { return { body: description(), contentType: 'application/sdp' } }
  hasDescription (type) { return type === 'application/sdp' }
  async rollbackDescription () {}
  async setDescription (sdp) { say('description', { sdp }) }
  sendDtmf () { return false }
}

async function sipjs () {
  const { UserAgent, Registerer, Inviter, SessionState } = require('sip.js')
  let session
  const watch = (newer) => {
    session = newer
    session.stateChange.addListener((state) => say('session', { state }))
  }
  const agent = new UserAgent({
    uri: UserAgent.makeURI(`sip:${user}@${domain}`),
    authorizationUsername: user,
    authorizationPassword: password,
    transportOptions: { server: url },
    sessionDescriptionHandlerFactory: () => new Plain(),
    logBuiltinEnabled: false,
    delegate: { onInvite: (invitation) => { watch(invitation); say('ringing', { from: invitation.remoteIdentity.uri.user }) } }
  })
  const registerer = new Registerer(agent)
  registerer.stateChange.addListener((state) => say('registration', { state }))
  const commands = {
    register: () => registerer.register(),
    unregister: () => registerer.unregister(),
    invite: async (command) => {
      port = command.port
      watch(new Inviter(agent, UserAgent.makeURI(`sip:${command.number}@${domain}`)))
      await session.invite()
    },
    accept: (command) => { port = command.port; return session.accept() },
    bye: () => session.state === SessionState.Established ? session.bye() : session.cancel(),
    drop: () => { agent.transport._ws.terminate() }
  }
  await agent.start()
  return commands
}

async function jssip () {
  const JsSIP = require('jssip')
  const agent = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(url)], uri: `sip:${user}@${domain}`, password, register: false
  })
  const connected = new Promise((resolve) => agent.on('connected', resolve))
  agent.on('registered', () => say('registration', { state: 'Registered' }))
  agent.on('unregistered', () => say('registration', { state: 'Unregistered' }))
  agent.on('registrationFailed', ({ cause }) => say('registration', { state: cause }))
  agent.start()
  await connected
  return { register: () => agent.register(), unregister: () => agent.unregister() }
}

async function main () {
  const commands = await ({ sipjs, jssip })[library]()
  say('ready')
  const lines = require('readline').createInterface({ input: process.stdin })
  for await (const line of lines) {
    const command = JSON.parse(line)
    await commands[command.do](command)
  }
  process.exit(0)
}

main().catch((error) => { console.error(error); process.exit(1) })
