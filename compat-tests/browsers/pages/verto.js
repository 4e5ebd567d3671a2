// A Verto client as small as the protocol allows: one WebSocket, calls with one RTCPeerConnection each.
class Verto {
  constructor(url, login, passwd, sessid) {
    Object.assign(this, { url, login, passwd, sessid, number: 0, waiting: new Map(), calls: new Map(), events: [], answers: true, video: false });
  }

  connect() {
    this.socket = new WebSocket(this.url);
    this.socket.onmessage = (message) => this.take(JSON.parse(message.data));
    this.socket.onclose = () => this.events.push({ method: "closed" });
    return new Promise((done, failed) => {
      this.socket.onopen = () => this.ask("login", { login: this.login, passwd: this.passwd, loginParams: {}, userVariables: {} }).then(done, failed);
      this.socket.onerror = failed;
    });
  }

  ask(method, params = {}) {
    const id = ++this.number;
    this.socket.send(JSON.stringify({ jsonrpc: "2.0", method, id, params: { sessid: this.sessid, ...params } }));
    return new Promise((done, failed) => this.waiting.set(id, { done, failed }));
  }

  async take(message) {
    if (!message.method) {
      const waits = this.waiting.get(message.id);
      this.waiting.delete(message.id);
      return message.error ? waits.failed(new Error(JSON.stringify(message.error))) : waits.done(message.result);
    }
    this.events.push(message);
    this.socket.send(JSON.stringify({ jsonrpc: "2.0", id: message.id, result: { method: message.method } }));
    const { callID, sdp } = message.params;
    const call = this.calls.get(callID);
    if (message.method === "verto.answer" || message.method === "verto.media") {
      if (sdp) await call.pc.setRemoteDescription({ type: "answer", sdp });
      call.state = message.method === "verto.answer" ? "active" : "early";
    } else if (message.method === "verto.bye") {
      if (call) this.end(call);
    } else if (message.method === "verto.invite" || message.method === "verto.attach") {
      if (call) call.pc.close();
      const offered = await this.make(callID, { callID });
      offered.params = message.params;
      await offered.pc.setRemoteDescription({ type: "offer", sdp });
      if (this.answers) await this.accept(offered, message.method === "verto.attach" ? "verto.attach" : "verto.answer");
    }
  }

  async make(callID, dialogParams) {
    const pc = new RTCPeerConnection();
    const call = { callID, pc, dialogParams, state: "new" };
    pc.ontrack = (event) => event.track.kind === "audio" && listen(new MediaStream([event.track]));
    this.microphone = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false }, video: this.video });
    for (const track of this.microphone.getTracks()) pc.addTrack(track, this.microphone);
    this.calls.set(callID, call);
    return call;
  }

  async described(call) {
    if (call.pc.iceGatheringState !== "complete") {
      await new Promise((done) => {
        call.pc.onicegatheringstatechange = () => call.pc.iceGatheringState === "complete" && done();
        setTimeout(done, 2000);
      });
    }
    return call.pc.localDescription.sdp;
  }

  async call(destination_number, more = {}) {
    const callID = crypto.randomUUID();
    const dialogParams = { callID, destination_number, caller_id_name: "Page", caller_id_number: "1000", remote_caller_id_name: "", remote_caller_id_number: "", ...more };
    const call = await this.make(callID, dialogParams);
    await call.pc.setLocalDescription(await call.pc.createOffer());
    await this.ask("verto.invite", { sdp: await this.described(call), dialogParams });
    return callID;
  }

  async accept(call, method) {
    await call.pc.setLocalDescription(await call.pc.createAnswer());
    await this.ask(method, { sdp: await this.described(call), dialogParams: call.dialogParams });
    call.state = "active";
  }

  modify(callID, action, more = {}) {
    return this.ask("verto.modify", { action, dialogParams: this.calls.get(callID).dialogParams, ...more });
  }

  dtmf(callID, dtmf) {
    return this.ask("verto.info", { dtmf, dialogParams: this.calls.get(callID).dialogParams });
  }

  hangup(callID) {
    const call = this.calls.get(callID);
    this.end(call);
    return this.ask("verto.bye", { cause: "NORMAL_CLEARING", dialogParams: call.dialogParams });
  }

  end(call) {
    call.pc.close();
    call.state = "ended";
  }

  // Pictures of the far end that were decoded.
  async frames(callID) {
    const stats = [...(await this.calls.get(callID).pc.getStats()).values()];
    return stats.find((one) => one.type === "inbound-rtp" && one.kind === "video")?.framesDecoded ?? 0;
  }

  state(callID) {
    return this.calls.get(callID)?.state;
  }
}
