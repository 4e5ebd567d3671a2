"""Numbers and phrases in other languages: which files are played, in which order, heard as tones."""
import pytest

from harness import audio, office
from harness.ear import caller, hears, run

# Each word is a tone of its own.
WORDS = {"de/digits/1_n": 400, "de/currency/and": 550, "de/digits/20": 700, "de/digits/3": 900, "fr/digits/80": 500, "fr/digits/12": 1100,
         "fr/voicemail/vm-you_have": 1300, "nl/digits/3-en": 600, "nl/digits/40": 1500, "es/digits/veinti": 800, "es/digits/2": 1200,
         "ru/digits/2f": 1000, "ru/digits/thousands-i": 1400}
LANGUAGES = """<section name="languages">
<language name="fr" say-module="fr" sound-prefix="{sounds}/fr"><phrases><macros><macro name="count"><input pattern="^(\\d+)$"><match>
  <action function="play-file" data="voicemail/vm-you_have.wav"/><action function="say" data="$1" method="pronounced" type="items" gender="masculine"/>
  <action function="phrase" phrase="again@more" data="$1"/></match></input></macro></macros>
  <macros name="more" sound-prefix="{sounds}/de"><macro name="again"><input pattern="."><match><action function="play-file" data="digits/20.wav"/></match></input></macro></macros>
  </phrases></language>
</section>"""


@pytest.fixture
def site(fresh, tmp_path):
    for name, hz in WORDS.items():
        path = tmp_path / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write_wav(path, audio.sine(hz, 1.2))
    main = fresh.conf / "freeswitch.xml"
    main.write_text(main.read_text().replace("</document>", LANGUAGES.format(sounds=tmp_path) + "</document>"))
    office.with_modules(fresh.conf, "mod_say_de", "mod_say_es", "mod_say_fr", "mod_say_nl", "mod_say_ru")
    fresh.sounds = tmp_path
    return fresh.start()


@pytest.mark.parametrize("language,what,words", [
    ("de", "number pronounced 21", ["digits/1_n", "currency/and", "digits/20"]),
    ("de", "number pronounced 23", ["digits/3", "currency/and", "digits/20"]),
    ("nl", "number pronounced 43", ["digits/3-en", "digits/40"]),
    ("es", "number pronounced 22", ["digits/veinti", "digits/2"]),
    ("ru", "number pronounced 2000", ["digits/2f", "digits/thousands-i"]),
])
def test_a_number_is_heard_in_its_language(site, esl, language, what, words):
    call, uuid = caller(site, esl)
    run(esl, uuid, f"set:sound_prefix={site.sounds}/{language}", f"say:{language} {what}", "park")
    for word in words:
        hears(call, WORDS[f"{language}/{word}"], timeout=15)
    call.hangup()


def test_a_phrase_says_what_it_says_in_the_language_of_the_call(site, esl):
    call, uuid = caller(site, esl)
    run(esl, uuid, "set:default_language=fr-CA", "phrase:count,92", "park")
    for word in ("fr/voicemail/vm-you_have", "fr/digits/80", "fr/digits/12", "de/digits/20"):
        hears(call, WORDS[word], timeout=15)
    call.hangup()


def test_a_language_whose_module_is_not_loaded_is_silent(site, esl):
    said = site.switch.api("say_string de.wav de number pronounced 21")
    assert said == "file_string://digits/1_n.wav!currency/and.wav!digits/20.wav"
    assert site.switch.api("say_string ru ru currency pronounced 22.21").startswith("file_string://digits/20.wav!digits/2.wav!currency/ruble-a.wav!")
    assert site.switch.api("unload mod_say_de").startswith("+OK")
    assert site.switch.api("say_string de.wav de number pronounced 21").strip() in ("", "-ERR no reply")
    assert site.switch.api("load mod_say_de").startswith("+OK")
    assert site.switch.api("say_string de.wav de number pronounced 21") == said
