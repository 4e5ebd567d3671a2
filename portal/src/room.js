// A room: a conference of the switch, joined by its name. Phones join the same room by its number. The picture of the member who
// speaks is seen, or of the one who spoke before for the one who does; and, if that is wished, those of the others.
import { button, element, login, statusText, time } from "./page.js";

// Pictures beside the speaker's, and how long one is left that has stopped, in milliseconds.
const OTHERS = 8;
const STALE = 4000;

const room = decodeURIComponent(location.pathname.split("/").pop());
// A guest's user and password come behind the #, which no server is sent. The address bar does not keep them.
const [, user, password] = location.hash.match(/^#([\w-]+)\.(\w+)$/) ?? [];
if (user) history.replaceState(null, "", location.pathname);

login(`Room ${room}`, (phone) => {
  const main = document.querySelector("main");
  const status = element("p", { id: "status" });
  let view;
  phone.addEventListener("change", draw);
  setInterval(() => view?.tick(), 500);
  draw();

  function draw() {
    const call = phone.calls[0];
    status.className = phone.status === "online" ? "good" : "quiet";
    status.textContent = statusText(phone);
    if (!call) {
      view = null;
      main.classList.remove("wide");
      const join = () => phone.dial(room, { pictures: true });
      return main.replaceChildren(status, element("div", { className: "card" }, element("h1", { textContent: room }),
        button("Join", join, { className: "large", disabled: phone.status !== "online" })));
    }
    if (view?.call !== call) {
      view = inside(call);
      main.classList.add("wide");
      main.replaceChildren(status, view.card);
    }
    view.draw();
  }

  // The page of a call in the room. Its elements stay while the call lasts, so that pictures do not begin anew.
  function inside(call) {
    const clock = element("span", { className: "quiet" });
    const level = element("meter", { min: 0, max: 1, value: 0, ariaLabel: "speech" });
    const state = element("p", { className: "state" });
    const picture = (className, label) => element("video", { className, ariaLabel: label, autoplay: true, muted: true, playsInline: true, hidden: true });
    const speaker = picture("speaker", "who speaks");
    const self = picture("self", "your picture");
    const mute = button("Mute", () => call.mute(!call.muted));
    const camera = button("Camera on", () => call.show(call.showing === "camera" ? null : "camera"));
    const screen = button("Share screen", () => call.show(call.showing === "screen" ? null : "screen"));
    const all = button("Show all", () => call.see(call.seeing ? 0 : OTHERS));
    const stage = element("div", { className: "stage" }, speaker, self);
    const others = element("div", { className: "others", hidden: true });
    const tiles = new Map();
    const card = element("div", { className: "card call" }, element("h1", { textContent: room }), state, stage, others, clock, level,
      element("div", { className: "row" }, mute, camera, screen, all, button("Leave", () => call.hangUp(), { className: "bad" })));
    screen.hidden = !navigator.mediaDevices?.getDisplayMedia;

    function draw() {
      state.textContent = call.state === "active" ? "in the room" : "joining …";
      if (call.speaker && !call.watched) watch(call, level);
      mute.textContent = call.muted ? "Unmute" : "Mute";
      camera.textContent = call.showing === "camera" ? "Camera off" : "Camera on";
      screen.textContent = call.showing === "screen" ? "Stop sharing" : "Share screen";
      const line = call.video;
      // What the switch does not take has no number.
      const possible = call.state === "active" && Boolean(line?.currentDirection) && line.currentDirection !== "stopped";
      camera.disabled = screen.disabled = all.disabled = !possible;
      all.textContent = call.seeing ? "Show speaker only" : "Show all";
      put(speaker, possible && !line.receiver.track.muted ? line.receiver.track : null);
      put(self, call.picture?.getVideoTracks()[0] ?? null);
      stage.hidden = speaker.hidden && self.hidden;
    }

    // A line has a picture while pictures come: the switch leaves lines empty that it has no other member for.
    async function look() {
      for (const line of call.more) {
        if (!tiles.has(line)) tiles.set(line, { video: others.appendChild(picture("other", "another member")), frames: 0, since: 0 });
        const tile = tiles.get(line);
        const stats = [...(await line.receiver.getStats()).values()].find((one) => one.type === "inbound-rtp");
        if ((stats?.framesDecoded ?? 0) > tile.frames) Object.assign(tile, { frames: stats.framesDecoded, since: Date.now() });
      }
      for (const [line, tile] of tiles) {
        if (!call.more.includes(line)) {
          put(tile.video, null);
          tile.video.remove();
          tiles.delete(line);
          continue;
        }
        const comes = call.seeing && Date.now() - tile.since < STALE;
        put(tile.video, comes ? line.receiver.track : null);
      }
      others.hidden = [...tiles.values()].every((tile) => tile.video.hidden);
      card.classList.toggle("several", !others.hidden);
    }

    function tick() {
      clock.textContent = time(call);
      look().catch(() => {});
    }

    return { call, card, draw, tick };
  }

  function put(video, track) {
    video.hidden = !track;
    if (video.srcObject?.getVideoTracks()[0] === (track ?? undefined)) return;
    video.srcObject = track && new MediaStream([track]);
    // Below the fold browsers begin nothing by themselves.
    if (track) video.play().catch(() => {});
  }

  // Shows how loud the room is.
  function watch(call, level) {
    call.watched = true;
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(call.speaker.srcObject).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const look = setInterval(() => {
      if (call.state === "ended") {
        clearInterval(look);
        return context.close();
      }
      analyser.getFloatTimeDomainData(samples);
      level.value = Math.min(1, Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length) * 4);
    }, 200);
  }
}, user && { user, password });
