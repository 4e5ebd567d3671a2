"""Commands and what they keep: limits, keys and values, schedules, turns."""
import json

import pytest


def originate(site, app, dialplan="inline"):
    """A call that runs applications; its UUID."""
    with site.esl() as esl:
        answer = esl.api(f"originate null/somebody '{app}' {dialplan}")
    assert answer.startswith("+OK "), answer
    return answer.split()[1]


def wait_until(esl, command, wanted):
    """Asks until the answer is the wanted one; the last answer."""
    for _ in range(100):
        answer = esl.api(command)
        if answer == wanted:
            break
        esl.api("msleep 20")
    return answer


# ---- limits

@pytest.mark.quick
@pytest.mark.parametrize("backend", ["hash", "db"])
def test_a_limit_counts_a_call_until_it_ends(site, backend):
    uuid = originate(site, f"limit:{backend} test calls_{backend} 1,park")
    with site.esl() as esl:
        assert wait_until(esl, f"limit_usage {backend} test calls_{backend}", "1") == "1"
        # The usage is known to all before the call's own variables say so.
        assert wait_until(esl, f"uuid_getvar {uuid} limit_usage_test_calls_{backend}", "1") == "1"
        esl.api(f"uuid_kill {uuid}")
        assert wait_until(esl, f"limit_usage {backend} test calls_{backend}", "0") == "0"


@pytest.mark.parametrize("backend", ["hash", "db"])
def test_a_call_over_the_limit_ends_with_the_cause_given(site, backend):
    first = originate(site, f"limit:{backend} test over_{backend} 1,park")
    with site.esl() as esl:
        assert wait_until(esl, f"limit_usage {backend} test over_{backend}", "1") == "1"
        esl.command("event plain CHANNEL_HANGUP_COMPLETE")
        second = originate(site, f"limit:{backend} test over_{backend} 1 !USER_BUSY,park")
        ended = esl.wait_event("CHANNEL_HANGUP_COMPLETE", **{"Unique-ID": second})
        assert ended.event["Hangup-Cause"] == "USER_BUSY"
        assert esl.api(f"uuid_exists {first}") == "true"
        esl.api(f"uuid_kill {first}")


def test_a_limit_is_given_back_when_the_call_is_transferred(site):
    uuid = originate(site, "limit:hash test moved 1,park")
    with site.esl() as esl:
        assert wait_until(esl, "limit_usage hash test moved", "1") == "1"
        assert esl.api(f"uuid_transfer {uuid} park inline") == "+OK\n"
        assert wait_until(esl, "limit_usage hash test moved", "0") == "0"
        esl.api(f"uuid_kill {uuid}")


def test_calls_per_time_are_limited(site):
    calls = [originate(site, "limit:hash test pace 2/3600 !USER_BUSY,park") for _ in range(3)]
    with site.esl() as esl:
        assert wait_until(esl, f"uuid_exists {calls[2]}", "false") == "false"
        assert [esl.api(f"uuid_exists {call}") for call in calls[:2]] == ["true", "true"]
        assert esl.api("limit_interval_reset hash test pace") == "+OK"
        esl.api("hupall")


# ---- keys and values

def test_a_value_set_by_a_dialplan_is_seen_by_commands(site):
    originate(site, "hash:insert/test/colour/red,park")
    with site.esl() as esl:
        assert wait_until(esl, "hash select/test/colour", "red") == "red"
        assert esl.api("eval ${hash(select/test/colour)}") == "red"
        esl.api("hash delete/test/colour")
        esl.api("hupall")


def test_values_in_the_database_survive_the_process(fresh):
    fresh.start()
    with fresh.esl() as esl:
        assert esl.api("db insert/test/kept/it's here") == "+OK"
        assert esl.api("group insert:team:user/1000") == "+OK"
    fresh.switch.stop(remove=False)
    fresh.start()
    with fresh.esl() as esl:
        assert esl.api("db select/test/kept") == "it's here"
        assert esl.api("group call:team") == "user/1000"


# ---- schedules and turns

def test_a_scheduled_command_runs_and_its_task_goes(site):
    with site.esl() as esl:
        esl.command("event plain ADD_SCHEDULE DEL_SCHEDULE")
        added = esl.api("sched_api +1 test global_setvar scheduled=yes")
        number = added.split()[-1]
        assert esl.wait_event("ADD_SCHEDULE", **{"Task-ID": number}).event["Task-Group"] == "test"
        esl.wait_event("DEL_SCHEDULE", **{"Task-ID": number})
        assert esl.api("global_getvar scheduled") == "yes"
        assert esl.api("sched_api +100 test echo late").startswith("+OK Added: ")
        assert esl.api("sched_del test") == "+OK Deleted: 1\n"


def test_what_is_scheduled_for_a_call_goes_with_it(site):
    uuid = originate(site, "sched_hangup:+600 USER_BUSY,park")
    with site.esl() as esl:
        esl.command("event plain DEL_SCHEDULE")
        assert esl.api(f"sched_hangup +500 {uuid}") == "+OK\n"
        esl.api(f"uuid_kill {uuid}")
        assert esl.wait_event("DEL_SCHEDULE", **{"Task-Group": uuid}).event["Task-Desc"] == "sched_hangup"
        assert uuid not in esl.api("show tasks")


def test_calls_pass_a_mutex_one_after_the_other(site):
    first = originate(site, "mutex:door,set:inside=yes,park")
    second = originate(site, "mutex:door,set:inside=yes,park")
    with site.esl() as esl:
        assert wait_until(esl, f"uuid_getvar {first} inside", "yes") == "yes"
        assert esl.api(f"uuid_getvar {second} inside") == "_undef_"
        esl.api(f"uuid_kill {first}")
        assert wait_until(esl, f"uuid_getvar {second} inside", "yes") == "yes"
        esl.api(f"uuid_kill {second}")


# ---- how commands run

def test_commands_that_run_each_other_without_end_are_refused(site):
    with site.esl() as esl:
        assert esl.api("expand " * 200 + "echo hi") == "-ERR Commands are nested too deep\n"
        assert esl.api("xml_wrap " * 200 + "echo hi").count("<result>") <= 16
        assert esl.api("echo still here") == "still here"


def test_a_program_s_output_is_the_answer(site):
    with site.esl() as esl:
        assert esl.api("system printf 'a b'") == "a b"


def test_json_answers_carry_the_request(site):
    with site.esl() as esl:
        answer = json.loads(esl.api('json {"command":"fsapi","data":{"cmd":"echo","arg":"hi"},"id":7}'))
        assert (answer["id"], answer["status"], answer["response"]["message"]) == (7, "success", "hi")
        wrong = json.loads(esl.api('json {"command":"nonsense","data":{}}'))
        assert wrong["status"] == "error"


def test_an_alias_works_at_the_console_only(site):
    with site.esl() as esl:
        assert esl.api("alias add hello echo good day") == "+OK\n"
        assert "Command not found" in esl.api("hello")
        assert "good day" in esl.api("hello\nconsole_execute: true")
        esl.api("alias del hello")


def test_one_call_may_be_logged_at_a_level_of_its_own(site):
    quiet, other = originate(site, "park"), originate(site, "park")
    with site.esl() as esl:
        esl.command("log info")
        assert esl.api(f"uuid_loglevel {quiet} err") == "+OK\n"
        assert esl.api(f"uuid_loglevel {quiet} loud") == "-ERR Invalid log level!\n"
        assert esl.api("uuid_loglevel nobody err") == "-ERR No such channel nobody!\n"
        for uuid in (quiet, other):
            esl.api(f"uuid_transfer {uuid} 'log:INFO about {uuid},park' inline")
        seen = []
        while not any(f"about {other}" in text for text in seen):
            message = esl.read()
            seen.append(message.body if message.type == "log/data" else "")
        assert not any(quiet in text for text in seen)
        esl.api("hupall")


def test_a_file_is_broadcast_by_a_dialplan(site):
    with site.esl() as esl:
        esl.command("event plain PLAYBACK_START")
        originate(site, "m:^:broadcast:tone_stream://%(200,0,500) aleg^park")
        started = esl.wait_event("PLAYBACK_START").event
        assert started["Playback-File-Path"] == "tone_stream://%(200,0,500)"
        esl.api("hupall")


# ---- modules

def test_a_module_that_was_unloaded_offers_nothing_until_it_is_loaded(site):
    with site.esl() as esl:
        esl.command("event plain MODULE_UNLOAD MODULE_LOAD")
        esl.api("hash insert/test/x/1")
        assert esl.api("unload mod_hash") == "+OK\n"
        gone = esl.wait_event("MODULE_UNLOAD")
        assert gone.event["name"] == "hash" and gone.event["type"] == "application"
        assert esl.api("module_exists mod_hash") == "false"
        assert esl.api("hash select/test/x") == "-ERR hash Command not found!\n"
        assert esl.api("unload mod_hash") == "-ERR [No such module!]\n"
        assert esl.api("load mod_hash") == "+OK Reloading XML\n+OK\n"
        esl.wait_event("MODULE_LOAD")
        assert esl.api("hash select/test/x") == "1"
        assert esl.api("load mod_hash") == "+OK Reloading XML\n-ERR [Module already loaded]\n"
        assert esl.api("unload mod_commands") == "-ERR [Module is not unloadable]\n"
        assert esl.api("reload mod_nothing") == (
            "+OK Reloading XML\n-ERR unloading module [No such module!]\n"
            "-ERR loading module [module load file routine returned an error]\n")


def test_an_application_of_a_module_that_is_gone_ends_the_call(site):
    with site.esl() as esl:
        assert esl.api("unload mod_db") == "+OK\n"
        try:
            esl.command("event plain CHANNEL_HANGUP_COMPLETE")
            uuid = originate(site, "db:insert/a/b/c,park")
            ended = esl.wait_event("CHANNEL_HANGUP_COMPLETE", **{"Unique-ID": uuid})
            assert ended.event["Hangup-Cause"] == "DESTINATION_OUT_OF_ORDER"
        finally:
            assert esl.api("load mod_db") == "+OK Reloading XML\n+OK\n"


def test_sip_comes_back_when_its_module_is_reloaded(site):
    talk = site.phone().invite("echo")
    talk.wait(200)
    with site.esl() as esl:
        assert esl.api("reload mod_sofia") == "+OK Reloading XML\n+OK module unloaded\n+OK module loaded\n"
        talk.wait_end()
        assert "open" in wait_for_text(esl, "sofia status", "RUNNING")
    again = site.phone().invite("echo")
    again.wait(200)
    again.hangup()


def wait_for_text(esl, command, wanted):
    """Asks until the answer holds the text; the last answer."""
    for _ in range(100):
        answer = esl.api(command)
        if wanted in answer:
            break
        esl.api("msleep 20")
    return answer


def test_a_file_that_cannot_be_written_is_refused_at_once(site, tmp_path):
    uuid = originate(site, "park")
    with site.esl() as esl:
        assert esl.api(f"uuid_record {uuid} start /proc/nothing/here.wav") == "-ERR Cannot record session!\n"
        good = tmp_path / "deep" / "good.wav"
        assert esl.api(f"uuid_record {uuid} start {good}") == "+OK Success\n"
        assert esl.api(f"uuid_record {uuid} stop {good}") == "+OK Success\n"
        assert good.exists()
        esl.api(f"uuid_kill {uuid}")


# ---- completion

def completed(esl, line):
    """What a half-typed line may go on with, and what is to be written."""
    listing, _, write = esl.api(f"console_complete {line}").partition("\n\nwrite=")
    return [word.strip(" []\t\n") for word in listing.split("\t") if word.strip()], write


def test_names_that_there_are_now_are_completed(site):
    with site.esl() as esl:
        rows = [line.split() for line in esl.api("sofia status").splitlines()]
        profiles = [row[0] for row in rows if row[1:2] == ["profile"]]
        assert profiles
        found, _ = completed(esl, "sofia status profile ")
        assert sorted(found) == sorted(profiles)
        found, write = completed(esl, "sofia profile " + profiles[0] + " gwl")
        assert (found, write) == (["gwlist"], "3:gwlist ")
        assert completed(esl, "reload mod_sof") == (["mod_sofia"], "7:mod_sofia ")
        uuid = originate(site, "park")
        assert completed(esl, "uuid_kill " + uuid[:12]) == ([uuid], f"12:{uuid} ")
        esl.api(f"uuid_kill {uuid}")


def test_completions_are_listed_by_their_words_and_can_be_taught(site):
    with site.esl() as esl:
        rows = esl.api("show complete").splitlines()
        assert rows[0] == "sticky,a1,a2,a3,a4,a5,a6,a7,a8,a9,a10,hostname"
        host = esl.api("hostname")
        assert f"0,sofia,status,gateway,::sofia::list_gateways,,,,,,,{host}" in rows
        assert f"0,show,channels,count,,,,,,,,{host}" in rows
        assert esl.api("complete add chorus _any_ sing") == "+OK\n"
        assert completed(esl, "chorus anybody ") == (["sing"], "0:sing ")
        assert esl.api("complete del chorus") == "+OK\n"
        assert completed(esl, "chorus anybody ") == ([], "")
