"""Video in the portal's rooms: pages in Chromium with cameras of one colour each, a browser's own, and a phone without any."""
import time

import pytest

from conftest import settled, shared_site
from harness import ear, tree
from harness.camera import Camera
from harness.portal import AGENT, CUSTOMER, WSS, browsers, capture_sound, configured, pages, press, state  # noqa: F401 (fixtures among them)

ROOMS = """<configuration name="conference.conf"><caller-controls/><profiles><profile name="default">
  <param name="rate" value="8000"/><param name="interval" value="20"/><param name="energy-level" value="300"/><param name="video-max-pictures" value="9"/>
</profile><profile name="layers">
  <param name="rate" value="8000"/><param name="interval" value="20"/><param name="energy-level" value="300"/><param name="video-max-pictures" value="9"/>
  <param name="video-simulcast" value="true"/><param name="video-transport-cc" value="true"/>
</profile></profiles></configuration>
"""
DIALPLAN = """
  <extension name="layers"><condition field="destination_number" expression="^layers$">
    <action application="set" data="absolute_codec_string=PCMU,VP8"/><action application="set" data="suppress_cng=true"/>
    <action application="answer"/><action application="conference" data="layers@layers"/></condition></extension>
  <extension name="studio"><condition field="destination_number" expression="^studio$">
    <action application="set" data="absolute_codec_string=PCMU,VP8"/><action application="set" data="suppress_cng=true"/>
    <action application="answer"/><action application="conference" data="studio@default"/></condition></extension>
"""
NOISE = """const noise = (pen) => {
  for (let n = 0; n < 400; n++) {
    pen.fillStyle = `hsl(${Math.random() * 360} 90% 50%)`;
    pen.fillRect(Math.random() * 640, 280 + Math.random() * 80, 9, 9);
  }
};
"""
# What the page asks for as the most it takes of its first line of video, kbit/s.
NARROW = """(() => {
  const described = Object.getOwnPropertyDescriptor(RTCPeerConnection.prototype, 'localDescription').get;
  Object.defineProperty(RTCPeerConnection.prototype, 'localDescription', { get() {
    const one = described.call(this);
    return one && window.narrow ? { type: one.type, sdp: one.sdp.replace(/(m=video[^]*?\\r\\nc=[^\\r]*\\r\\n)/, `$1b=AS:${window.narrow}\\r\\n`) } : one;
  } });
})(); 1"""
# How wide the picture of the page's nth line of video is; 0 while none has been decoded.
WIDTH = """connections.at(-1).getTransceivers().filter((line) => line.receiver.track.kind == 'video')[%d].receiver.getStats()
  .then((all) => [...all.values()].find((s) => s.type == 'inbound-rtp')?.frameWidth ?? 0)"""
# The widths that the page sends.
SENT = """connections.at(-1).getStats().then((all) => [...all.values()].filter((s) => s.type == 'outbound-rtp' && s.kind == 'video' && s.frameWidth)
  .map((s) => s.frameWidth))"""
# A camera that films one colour, with something that moves; screens are of another.
CAMERA = """(() => {
  const made = (colour) => {
    const canvas = Object.assign(document.createElement('canvas'), {width: 320, height: 180}), pen = canvas.getContext('2d');
    let turn = 0;
    setInterval(() => { pen.fillStyle = colour; pen.fillRect(0, 0, 320, 180); pen.fillStyle = '#888'; pen.fillRect(turn++ %% 320, 0, 8, 8); }, 60);
    return canvas.captureStream(15);
  };
  const devices = navigator.mediaDevices, real = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (wanted) => (wanted.video && %r ? made(%r) : real(wanted));
  devices.getDisplayMedia = async () => made('#d000d0');
  const Real = RTCPeerConnection;
  window.connections = [];
  window.RTCPeerConnection = function (...how) { const one = new Real(...how); connections.push(one); return one; };
  window.RTCPeerConnection.prototype = Real.prototype;
})(); 1"""
COLOUR = """((video) => {
  if (!video || video.hidden || !video.videoWidth) return 'nothing';
  const pen = new OffscreenCanvas(8, 8).getContext('2d');
  pen.drawImage(video, 0, 0, 8, 8);
  const [r, g, b] = pen.getImageData(4, 4, 1, 1).data;
  if (r > 120 && g < 90 && b < 90) return 'red';
  if (b > 120 && r < 90 && g < 90) return 'blue';
  if (r > 120 && b > 120 && g < 90) return 'screen';
  if (g > 120 && r < 90 && b < 90) return 'green';      // the browser's own
  return `${r} ${g} ${b}`;
})"""
SEEN = f"{COLOUR}(document.querySelector('video.speaker'))"
# What the others' pictures show, in their places.
OTHERS = f"[...document.querySelectorAll('.others video')].map({COLOUR}).filter((colour) => colour != 'nothing').join(' ')"
# What the page was told its receivers can take, bits a second.
ALLOWED = """connections.at(-1).getStats().then((all) => [...all.values()].filter((s) => s.type == 'candidate-pair' && s.state == 'succeeded')
  .map((s) => s.availableOutgoingBitrate ?? 0).reduce((a, b) => Math.max(a, b), 0))"""
# Bits a second that the page's camera is encoded with.
TARGET = """connections.at(-1).getStats().then((all) => [...all.values()].filter((s) => s.type == 'outbound-rtp' && s.kind == 'video')
  .map((s) => s.targetBitrate ?? 0).reduce((a, b) => a + b, 0))"""
FRAMES = "connections.at(-1).getStats().then((all) => [...all.values()].find((s) => s.type == 'inbound-rtp' && s.kind == 'video')?.framesDecoded ?? 0)"


def with_video(block, where):
    conf = configured(block, where, f"wss://127.0.0.1:{block[WSS]}")
    (conf / "autoload_configs/conference.conf.xml").write_text(ROOMS)
    tree.patch(conf / "sip_profiles/auth.xml", {r'name="inbound-codec-prefs" value="[^"]*"': 'name="inbound-codec-prefs" value="OPUS,PCMU,VP8"'})
    tree.patch(conf / "dialplan/public.xml", {r'(?<=<context name="public">)': DIALPLAN.replace("\\", r"\\")})
    return conf


with_video.needs_trees = False
video_server = shared_site(with_video)


@pytest.fixture
def site(video_server):
    yield from settled(video_server)


@pytest.fixture
def studio(esl, pages):  # noqa: F811
    def enter(browser, colour, *account, room="studio", large=False, before="1"):
        """A page in the room, muted, its camera on: the page and its member's number."""
        page = pages(browser, f"/rooms/{room}", *account)
        camera = CAMERA % (colour or "", colour or "")
        if large:                                            # with something at its foot that takes many bits
            camera = camera.replace("320", "640").replace("180", "360").replace("0, 8, 8); }", "0, 8, 8); noise(pen); }")
            camera = camera.replace("const made", NOISE + "const made")
        page.run(camera)
        page.run(before)
        capture_sound(page)
        for _ in range(20):                                  # a loaded machine refuses calls for a while
            press(page, "Join")
            inside = "document.querySelector('.state')?.textContent == 'in the room'"
            page.until(f"{inside} || [...document.querySelectorAll('button')].some((b) => b.textContent == 'Join' && !b.disabled)")
            if page.run(inside):
                break
            time.sleep(1)
        state(page, "in the room")
        number = esl.wait_event("CUSTOM", Action="add-member").event["Member-ID"]
        press(page, "Mute")
        press(page, "Camera on")
        page.until("[...document.querySelectorAll('button')].some((b) => b.textContent == 'Camera off')")
        page.until("!document.querySelector('video.self').hidden")
        return page, number
    return enter


def sees(page, what, timeout=30):
    """Until the page shows that colour, and goes on decoding."""
    page.until(f"{SEEN} == {what!r}", timeout)
    before = page.run(FRAMES)
    page.until(f"{FRAMES}.then((n) => n > {before} + 3)", timeout)


def sounds(page, hz):
    """Until the page plays that tone; a loaded machine takes its time."""
    page.until("speakers.some((s) => s.srcObject?.active)")
    page.run("listen(speakers.findLast((s) => s.srcObject?.active).srcObject)")
    page.hears(hz, timeout=60)


def frozen(page):
    """Until no frame has been decoded for a second."""
    page.until(f"{FRAMES}.then((before) => new Promise((done) => setTimeout(() => {FRAMES}.then((n) => done(n == before)), 1000)))", 20)


def test_three_pages_see_who_speaks_and_a_phone_hears(site, esl, browsers, studio):  # noqa: F811
    red, first = studio(browsers[0], "#e00000")
    blue, second = studio(browsers[0], "#0000e0")
    own, third = studio(browsers[1], None, "1001", "one-thousand-one")       # the browser's own camera
    phone = site.phone().admitted("studio")
    for page in (red, blue):
        sees(page, "green")
    sees(own, "blue")

    esl.events.clear()
    press(red, "Unmute")
    esl.wait_event("CUSTOM", timeout=30, Action="video-floor-change", New_ID=first)
    for page in (blue, own):
        sees(page, "red")
    ear.hears(phone, CUSTOMER, timeout=30)
    sounds(own, CUSTOMER)
    red.shot("speaker-desk")
    blue.shot("listener-desk")
    blue.shot("listener-phone", phone=True)

    esl.events.clear()
    press(red, "Mute")
    esl.wait_event("CUSTOM", timeout=30, Action="stop-talking", Member_ID=first)
    press(blue, "Unmute")
    esl.wait_event("CUSTOM", timeout=30, Action="video-floor-change", New_ID=second)
    sees(own, "blue")
    sees(red, "blue")
    sees(blue, "red")
    flags = {line.split(";")[0]: line.split(";")[5].split("|") for line in esl.api("conference studio list").splitlines()}
    assert [n for n, f in flags.items() if "video" in f] == [third, second, first] and "vid-floor" in flags[second], flags

    assert esl.api(f"conference studio vmute {second}") == f"+OK vmute {second}\n"
    frozen(own)
    ear.hears(phone, CUSTOMER, timeout=30)
    assert esl.api(f"conference studio unvmute {second}") == f"+OK unvmute {second}\n"
    sees(own, "blue")

    press(blue, "Share screen")
    sees(own, "screen")
    blue.shot("screen")
    esl.events.clear()
    press(blue, "Stop sharing")
    assert esl.wait_event("CUSTOM", timeout=30, Action="video-floor-change").event["New-ID"] in (first, third)
    press(blue, "Camera on")
    esl.wait_event("CUSTOM", timeout=30, Action="video-floor-change", New_ID=second)
    sees(own, "blue")

    esl.events.clear()
    press(blue, "Leave")
    assert esl.wait_event("CUSTOM", timeout=30, Action="video-floor-change").event["New-ID"] in (first, third)
    press(own, "Unmute")
    esl.wait_event("CUSTOM", timeout=30, Action="start-talking", Member_ID=third)
    sees(own, "red")
    ear.hears(phone, AGENT, timeout=30)
    sounds(red, AGENT)
    for page in (red, own):
        press(page, "Leave")
    phone.hangup()


def others(page, colours, timeout=60):
    """Until the page shows these beside the speaker, in these places."""
    try:
        page.until(f"{OTHERS} == {colours!r}", timeout)
    except AssertionError:
        raise AssertionError(f"the page shows {page.run(OTHERS)!r} and not {colours!r}") from None


def test_a_page_sees_all_members_at_once(site, esl, browsers, studio):  # noqa: F811
    red, first = studio(browsers[0], "#e00000")
    blue, second = studio(browsers[0], "#0000e0")
    violet, third = studio(browsers[1], "#d000d0", "1001", "one-thousand-one")
    own, fourth = studio(browsers[1], None)
    sees(own, "screen")                                 # who had the floor before
    press(own, "Show all")
    own.until("[...document.querySelectorAll('button')].some((b) => b.textContent == 'Show speaker only')", 60)
    own.until(f"{OTHERS}.split(' ').sort().join(' ') == 'blue red'", 60)
    places = own.run(OTHERS)
    sees(own, "screen")
    own.shot("all-desk")
    own.shot("all-phone", phone=True)
    own.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    own.shot("all-dark")

    # Who speaks is large, and the one before takes the place that is free.
    press(red, "Unmute")
    esl.wait_event("CUSTOM", timeout=30, Action="video-floor-change", New_ID=first)
    sees(own, "red")
    places = places.replace("red", "screen")
    others(own, places)
    assert esl.api(f"conference studio vmute {second}") == f"+OK vmute {second}\n"
    others(own, "screen")
    assert esl.api(f"conference studio unvmute {second}") == f"+OK unvmute {second}\n"
    others(own, places)
    press(blue, "Leave")
    others(own, "screen")

    press(own, "Show speaker only")
    others(own, "")
    press(own, "Show all")
    others(own, "screen")
    sounds(own, CUSTOMER)
    for page in (red, violet, own):
        press(page, "Leave")


def test_a_receiver_on_a_narrow_line_lowers_the_rate_of_the_sender(site, esl, browsers, studio):  # noqa: F811
    red, first = studio(browsers[0], "#e00000")
    own, second = studio(browsers[1], None, "1001", "one-thousand-one")
    sees(red, "green")
    sees(own, "red")
    own.until(f"{ALLOWED}.then((bits) => bits > 0)", 30)
    camera = Camera("narrow")
    phone = site.phone().admitted("studio", sdp=camera.sdp)
    camera.hear_answer(phone.wait(200).body)
    camera.films = False
    assert esl.wait_event("CUSTOM", timeout=30, Action="add-member").event
    assert esl.api(f"conference studio vid-floor {second} force") == f"+OK floor {second}\n"
    camera.sees_something()
    for _ in range(40):
        camera.can_take(350_000)
        time.sleep(0.25)
    own.until(f"{ALLOWED}.then((bits) => 0 < bits && bits <= 350000)", 10)
    own.until(f"{TARGET}.then((bits) => 0 < bits && bits <= 350000)", 10)
    phone.hangup()
    camera.close()
    # When it is gone the sender may send more again.
    own.until(f"{ALLOWED}.then((bits) => bits > 400000)", 60)
    for page in (red, own):
        press(page, "Leave")


def is_wide(page, line, wide, timeout=60):
    """Until the page decodes a large picture on that line, or a small one."""
    width = WIDTH % line
    try:
        page.until(f"{width}.then((width) => {'width > 320' if wide else '0 < width && width <= 320'})", timeout)
    except AssertionError:
        raise AssertionError(f"the picture is {page.run(width)} wide") from None


def test_each_page_is_sent_the_size_that_fits_it(site, esl, browsers, studio):  # noqa: F811
    red, first = studio(browsers[0], "#e00000", room="layers", large=True)
    red.until(f"{SENT}.then((all) => all.some((width) => width > 320) && all.some((width) => width <= 320))", 60)
    blue, second = studio(browsers[0], "#0000e0", room="layers", large=True)
    narrow, third = studio(browsers[1], "#d000d0", "1001", "one-thousand-one", room="layers", before=f"{NARROW}; window.narrow = 250")
    assert esl.api(f"conference layers vid-floor {first} force") == f"+OK floor {first}\n"
    sees(blue, "red")
    is_wide(blue, 0, True)
    sees(narrow, "red")
    is_wide(narrow, 0, False)
    is_wide(blue, 0, True)

    # A wider line: the same member, now large.
    narrow.run("window.narrow = 0")
    press(narrow, "Camera off")
    narrow.until("[...document.querySelectorAll('button')].some((b) => b.textContent == 'Camera on')")
    is_wide(narrow, 0, True)

    # Who speaks is large, the others beside are small; who was small grows when it speaks.
    assert esl.api(f"conference layers vid-floor {second} force") == f"+OK floor {second}\n"
    sees(narrow, "blue")
    press(narrow, "Show all")
    others(narrow, "red")
    is_wide(narrow, 0, True)
    is_wide(narrow, 1, False)
    assert esl.api(f"conference layers vid-floor {first} force") == f"+OK floor {first}\n"
    sees(narrow, "red")
    is_wide(narrow, 0, True)
    others(narrow, "blue")
    is_wide(narrow, 1, False)
    for page in (red, blue, narrow):
        press(page, "Leave")
