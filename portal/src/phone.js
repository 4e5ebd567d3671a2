// A phone in a page: SIP over WebSocket (SIP.js), several calls at a time. It knows no elements of pages; what happens is
// told by "change" events.
import { Inviter, Registerer, RegistererState, RequestPendingError, SessionState, UserAgent } from "sip.js";

const RECONNECT_FIRST = 1000;
const RECONNECT_LONGEST = 30000;
// The layer for receivers that show a picture small.
const SMALL = "small";

// Ends what a camera or a screen gives; the browser shows no more that it is on.
function stop(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}

// Offers again what names layers and counts packets: answers before the room was known, or without it, had none of it, and Chromium
// refuses to offer layers without their names.
function extend(line) {
  const wanted = (one) => one.uri.includes("hdrext:sdes:") || one.uri.includes("transport-wide-cc");
  const all = line.getHeaderExtensionsToNegotiate?.();
  if (all) line.setHeaderExtensionsToNegotiate(all.map((one) => (wanted(one) ? { ...one, direction: "sendrecv" } : one)));
}

// One call.
class Call {
  constructor(phone, session, peer, incoming) {
    Object.assign(this, { phone, session, peer, incoming, id: crypto.randomUUID(), state: incoming ? "incoming" : "calling" });
    Object.assign(this, { held: false, muted: false, showing: null, picture: null, seeing: 0, more: [], most: Infinity, begun: Date.now(), answered: null });
    session.stateChange.addListener((state) => this.changed(state));
  }

  changed(state) {
    if (state === SessionState.Established) {
      this.state = "active";
      this.answered = Date.now();
      this.speaker ??= Object.assign(new Audio(), { autoplay: true });
      this.speaker.srcObject = this.session.sessionDescriptionHandler.remoteMediaStream;
      this.session.delegate = { ...this.session.delegate, onBye: (bye) => bye.accept() };
    } else if (state === SessionState.Terminated) {
      this.state = "ended";
      this.dropPicture();
      if (this.speaker) this.speaker.srcObject = null;
      this.phone.forget(this);
    }
    this.phone.tell();
  }

  answer() {
    return this.session.accept({ sessionDescriptionHandlerOptions: this.phone.media });
  }

  hangUp() {
    switch (this.session.state) {
      case SessionState.Established:
        return this.session.bye();
      case SessionState.Initial:
      case SessionState.Establishing:
        return this.incoming ? this.session.reject({ statusCode: 486 }) : this.session.cancel();
    }
  }

  // What a far end does not accept is left as it was.
  hold(on) {
    return this.describeAnew(on);
  }

  describeAnew(hold) {
    const before = this.held;
    this.session.sessionDescriptionHandlerOptionsReInvite = { ...this.phone.media, hold };
    return new Promise((done, failed) => {
      const back = (error) => {
        this.session.sessionDescriptionHandlerOptionsReInvite = { ...this.phone.media, hold: before };
        failed(error);
      };
      const requestDelegate = {
        onAccept: () => {
          this.held = hold;
          this.setTracks();
          this.phone.tell();
          done();
        },
        onReject: (response) => back(new Error(response.message.reasonPhrase)),
      };
      this.session.invite({ requestDelegate }).catch((error) => back(error instanceof RequestPendingError ? new Error("wait a moment") : error));
    });
  }

  // The line of the call that has video, if there is one.
  get video() {
    const lines = this.session.sessionDescriptionHandler?.peerConnection?.getTransceivers() ?? [];
    return lines.find((line) => line.receiver.track.kind === "video");
  }

  // Sends the picture of the "camera" or the "screen", or none. The far end's is seen all the same. One change at a time: the
  // far end is asked each time.
  show(source) {
    const shown = (this.changing ?? Promise.resolve()).catch(() => {}).then(() => this.showNow(source));
    this.changing = shown;
    return shown;
  }

  // Receives up to `count` pictures beside the first, each over a line of its own, or that of the first alone (0).
  see(count) {
    const seen = (this.changing ?? Promise.resolve()).catch(() => {}).then(() => this.seeNow(count));
    this.changing = seen;
    return seen;
  }

  async seeNow(count) {
    const connection = this.session.sessionDescriptionHandler?.peerConnection;
    if (!connection || !this.video?.mid) throw new Error("there is no video in this call");
    // Lines that were declined are not offered again.
    if (count && !this.most) throw new Error("one picture at a time is shown here");
    while (this.more.length < Math.min(count, this.most)) this.more.push(this.oneMore(connection));
    this.seeing = count;
    try {
      await this.describeAnew(this.held);
      // What the far end does not take is stopped. On hold it is asked for nothing.
      const asked = this.more.length;
      this.more = this.more.filter((line) => line.currentDirection && line.currentDirection !== "stopped");
      if (this.more.length < asked && !this.held) this.most = this.more.length;
      if (count && !this.more.length) throw new Error("one picture at a time is shown here");
    } catch (error) {
      this.seeing = 0;
      throw error;
    } finally {
      this.phone.tell();
    }
  }

  // A line that names the codec in use only: with all the browser knows, ten lines are more than a switch reads.
  oneMore(connection) {
    const line = connection.addTransceiver("video", { direction: "recvonly" });
    const used = this.video.receiver.getParameters().codecs?.[0]?.mimeType;
    const codecs = RTCRtpReceiver.getCapabilities("video").codecs.filter((codec) => codec.mimeType === used);
    if (codecs.length) line.setCodecPreferences?.(codecs);
    return line;
  }

  // Which of those lines the next offer asks pictures on. SIP.js would have all of them.
  aim(connection, hold) {
    if (connection.signalingState !== "stable") return;
    if (this.video) extend(this.video);
    const usable = this.more.filter((line) => line.currentDirection !== "stopped");
    usable.forEach((line, n) => (line.direction = n < this.seeing && !hold ? "recvonly" : "inactive"));
  }

  async showNow(source) {
    const line = this.video;
    if (!line || !line.mid) throw new Error("there is no video in this call");
    const constraints = { video: { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { max: 30 } } };
    const stream = source && (await (source === "screen" ? navigator.mediaDevices.getDisplayMedia({ video: true }) : navigator.mediaDevices.getUserMedia(constraints)));
    // The call may have ended while the browser asked.
    if (this.state === "ended") {
      stop(stream);
      throw new Error("the call has ended");
    }
    this.dropPicture();
    const [track] = stream ? stream.getVideoTracks() : [];
    if (track) {
      Object.assign(this, { showing: source, picture: stream });
      // The browser's own "stop sharing".
      track.onended = () => this.picture === stream && this.show(null).catch(() => {});
    }
    const before = line.direction;
    try {
      await line.sender.replaceTrack(track ?? null);
      if (track) await this.layer(line.sender);
      line.direction = track ? "sendrecv" : "recvonly";
      if (line.direction !== before) await this.describeAnew(this.held);
    } catch (error) {
      // What the far end does not take is filmed no longer.
      this.dropPicture();
      if (this.state !== "ended") {
        line.direction = before;
        await line.sender.replaceTrack(null).catch(() => {});
      }
      throw error;
    } finally {
      this.phone.tell();
    }
  }

  // A higher layer of pictures that receivers with bad lines can do without, where the browser makes one.
  async layer(sender) {
    const wanted = sender.getParameters();
    for (const encoding of wanted.encodings ?? []) Object.assign(encoding, { maxBitrate: encoding.rid === SMALL ? 150000 : 1000000, scalabilityMode: "L1T2" });
    await sender.setParameters(wanted).catch(() => {});
  }

  dropPicture() {
    stop(this.picture);
    this.picture = this.showing = null;
  }

  mute(on) {
    this.muted = on;
    this.setTracks();
    this.phone.tell();
  }

  setTracks() {
    const connection = this.session.sessionDescriptionHandler?.peerConnection;
    connection?.getSenders().forEach((sender) => sender.track && (sender.track.enabled = !this.held && (sender.track.kind === "video" || !this.muted)));
    connection?.getReceivers().forEach((receiver) => receiver.track && (receiver.track.enabled = !this.held));
  }

  key(tone) {
    if (this.session.sessionDescriptionHandler?.sendDtmf(tone, { duration: 160, interToneGap: 80 })) return;
    const body = { contentDisposition: "render", contentType: "application/dtmf-relay", content: `Signal=${tone}\r\nDuration=160` };
    return this.session.info({ requestOptions: { body } });
  }

  // Sends the far end elsewhere: to a number, or to the far end of another call.
  transfer(target) {
    const to = target instanceof Call ? target.session : this.phone.address(target);
    return new Promise((done, failed) => {
      const onReject = (response) => failed(new Error(response.message.reasonPhrase));
      const onNotify = (notification) => {
        notification.accept();
        const status = / (\d{3})/.exec(notification.request.body)?.[1] ?? "";
        if (status.startsWith("2")) done();
        else if (!status.startsWith("1")) failed(new Error(`the transfer failed (${status})`));
      };
      this.session.refer(to, { requestDelegate: { onReject }, onNotify }).catch(failed);
    });
  }
}

export class Phone extends EventTarget {
  constructor({ websocket, domain, user, password, name }) {
    super();
    Object.assign(this, { domain, user, calls: [], status: "connecting", dnd: false, wanted: true });
    this.media = { constraints: { audio: { autoGainControl: true, echoCancellation: true, noiseSuppression: true }, video: false } };
    this.agent = new UserAgent({
      uri: this.address(user),
      displayName: name || user,
      authorizationUsername: user,
      authorizationPassword: password,
      transportOptions: { server: websocket, keepAliveInterval: 20 },
      // The switch does not bundle lines: each offers candidates of its own from the beginning.
      sessionDescriptionHandlerFactoryOptions: { iceGatheringTimeout: 500, peerConnectionConfiguration: { iceServers: [], bundlePolicy: "max-compat" } },
      logLevel: "warn",
      delegate: {
        onInvite: (invitation) => this.ring(invitation),
        onConnect: () => this.connected(),
        onDisconnect: (error) => this.disconnected(error),
      },
    });
    this.registerer = new Registerer(this.agent, { expires: 300 });
    this.registerer.stateChange.addListener((state) => {
      if (state === RegistererState.Registered) this.to("online");
      else if (this.wanted && this.status === "online") this.to("connecting");
    });
  }

  address(target) {
    const uri = UserAgent.makeURI(`sip:${encodeURIComponent(target).replaceAll("%2B", "+").replaceAll("%2A", "*")}@${this.domain}`);
    if (!uri) throw new Error("that is no number");
    return uri;
  }

  tell() {
    this.dispatchEvent(new Event("change"));
  }

  to(status) {
    this.status = status;
    this.tell();
  }

  start() {
    return this.agent.start();
  }

  connected() {
    this.pause = RECONNECT_FIRST;
    if (this.wanted) this.register();
  }

  register() {
    const onReject = (response) => this.to(response.message.statusCode === 403 || response.message.statusCode === 401 ? "refused" : "connecting");
    // The registerer's state does not change when it registers anew after a broken connection.
    const onAccept = () => this.to("online");
    return this.registerer.register({ requestDelegate: { onAccept, onReject } }).catch(() => {});
  }

  disconnected(error) {
    this.to("connecting");
    if (!error || this.ended) return;
    const pause = (this.pause = Math.min((this.pause ?? RECONNECT_FIRST) * 2, RECONNECT_LONGEST));
    setTimeout(() => this.agent.reconnect().catch(() => this.disconnected(error)), pause * (0.5 + Math.random() / 2));
  }

  // Away: calls go elsewhere. Busy: they are refused.
  async be(status) {
    this.dnd = status === "busy";
    this.wanted = status !== "away";
    if (!this.wanted) {
      await this.registerer.unregister().catch(() => {});
      this.to("away");
    } else if (this.registerer.state === RegistererState.Registered) {
      this.to("online");
    } else {
      await this.register();
    }
  }

  ring(invitation) {
    if (this.dnd) return invitation.reject({ statusCode: 486 });
    const identity = invitation.remoteIdentity;
    const call = new Call(this, invitation, identity.displayName || identity.uri.user, true);
    this.calls.push(call);
    this.dispatchEvent(new CustomEvent("ring", { detail: call }));
    this.tell();
  }

  // With `pictures` the call is ready for video both ways; none is sent before Call.show.
  async dial(number, { pictures = false } = {}) {
    for (const call of this.calls) if (call.state === "active" && !call.held) await call.hold(true);
    const inviter = new Inviter(this.agent, this.address(number), { sessionDescriptionHandlerOptions: this.media });
    const call = new Call(this, inviter, number, false);
    this.calls.push(call);
    this.tell();
    const onSessionDescriptionHandler = (handler) => {
      if (!pictures) return;
      const update = handler.updateDirection.bind(handler);
      // SIP.js ends a track when the next of its kind comes; pictures are taken from their lines.
      const take = handler.setRemoteTrack.bind(handler);
      handler.setRemoteTrack = (track) => track.kind === "video" || take(track);
      handler.updateDirection = (options) => update(options).then(() => call.aim(handler.peerConnection, options?.hold));
      handler.peerConnection.addTransceiver("audio");
      // Two sizes, for rooms that take them (video-simulcast). Elsewhere the first remains.
      const sendEncodings = [{ rid: "large" }, { rid: SMALL, scaleResolutionDownBy: 2 }];
      const { receiver } = handler.peerConnection.addTransceiver("video", { direction: "recvonly", sendEncodings });
      receiver.track.onunmute = receiver.track.onmute = () => this.tell();
    };
    inviter.delegate = { onSessionDescriptionHandler };
    const onReject = (response) => (call.refused = response.message.reasonPhrase);
    await inviter.invite({ requestDelegate: { onReject } });
    return call;
  }

  forget(call) {
    this.calls = this.calls.filter((other) => other !== call);
    this.dispatchEvent(new CustomEvent("ended", { detail: call }));
  }

  async stop() {
    this.ended = true;
    await Promise.allSettled(this.calls.map((call) => call.hangUp()));
    await this.registerer.unregister().catch(() => {});
    await this.agent.stop();
  }
}
