"""Calls told apart by ear: phones that talk in tones of their own, and what each hears now."""
from . import audio

NEAR, FAR, THIRD, MUSIC, FILE = 300, 900, 2100, 1400, 700
TONE = f"tone_stream://%(1000,0,{MUSIC});loops=-1"
FRAMES = 20             # packets in a row that make up what is heard "now"


def caller(site, esl, number="park", phone=None):
    """A phone in a parked call, and the call's UUID."""
    call = (phone or site.phone()).admitted(number)
    return call, esl.wait_event("CHANNEL_PARK").event["Unique-ID"]


def run(esl, uuid, *apps):
    """Sends the call through applications, `^` between them."""
    reply = esl.api(f"uuid_transfer {uuid} 'm:^:{'^'.join(apps)}' inline")
    assert reply.startswith("+OK"), reply


def dial(phone):
    return f"sofia/open/{phone.user}@{phone.ip}:{phone.port}"


def bridged(site, esl, *before, after=("park",)):
    """Two phones in conversation, each talking in its tone: near, far, their UUIDs."""
    near, uuid = caller(site, esl)
    phone = site.phone()
    run(esl, uuid, *before, f"bridge:{dial(phone)}", *after)
    far = phone.accept()
    far.answer()
    other = esl.wait_event("CHANNEL_BRIDGE", Unique_ID=uuid).event["Bridge-B-Unique-ID"]
    talk(near, far)
    return near, far, uuid, other


def talk(near, far, tones=(NEAR, FAR)):
    """Both talk, and hear each other."""
    for call, hz in zip((near, far), tones):
        call.rtp.tone(hz)
    hears(near, tones[1])
    hears(far, tones[0])


def _power(packet, hz):
    kind, payload = packet
    return audio.power_of(hz, audio.decode(kind, payload)) if kind in (0, 8) else 0.0


def hears(call, hz, frames=FRAMES, timeout=10):
    """Until `hz` and nothing else is heard for so many packets on end, from now on."""
    rtp, at, row = call.rtp, len(call.rtp.packets), 0

    def done():
        nonlocal at, row
        while at < len(rtp.packets) and row < frames:
            row = row + 1 if _power(rtp.packets[at], hz) > 0.6 else 0
            at += 1
        return row >= frames
    rtp._wait(f"{hz} Hz and nothing else", done, timeout)


def hears_nothing(call, meanwhile, hz):
    """`call` hears no sound for as long as it takes `meanwhile` to hear `hz`."""
    since = len(call.rtp.packets)
    hears(meanwhile, hz)
    loud = [n for n, (kind, payload) in enumerate(call.rtp.packets[since:])
            if kind in (0, 8) and max(map(abs, audio.decode(kind, payload))) > 200]
    assert not loud, f"{len(loud)} of {len(call.rtp.packets) - since} packets hold sound"
