// Loaded before a sample that listens on a fixed port: a free one is taken instead, and told.
'use strict'
const net = require('net')
const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (...args) {
  this.once('listening', () => console.log(JSON.stringify({ kind: 'listening', port: this.address().port })))
  return listen.call(this, { port: 0, host: '127.0.0.1' }, ...args.filter((arg) => typeof arg === 'function'))
}
