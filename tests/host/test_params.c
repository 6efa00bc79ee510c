// Parameters: defaults, each value of each parameter, and the sentences for what is wrong.

// link: hv/policy/params.c
#include "support.h"

#include <stdio.h>

#include "hv/memory/guest_map.h"
#include "hv/policy/params.h"
#include <hv/log.h>
#include <hv/p2m.h>

static char message[512];

static struct params parsed(const char *line)
{
    struct params p;
    memset(&p, 0xa5, sizeof(p));
    strcpy(message, "(none)");
    if (params_parse(&p, line, message, sizeof(message)))
        fail_msg("`%s': %s", line, message);
    return p;
}

static void refused(const char *line, const char *sentence)
{
    struct params p;
    assert_int_equal(params_parse(&p, line, message, sizeof(message)), ERR_INVALID);
    assert_string_equal(message, sentence);
}

static void defaults(void **state)
{
    (void)state;
    struct params p = parsed("");
    assert_int_equal(p.mmu, MMU_EPT);
    assert_int_equal(p.vpid, VPID_AUTO);
    assert_int_equal(p.mem, 512 * MIB);
    assert_int_equal(p.p2m_max, P2M_LEVEL_1G);
    assert_int_equal(p.freq, FREQUENCY_BASE);
    assert_int_equal(p.audit, 0);
    assert_int_equal(p.log, LOG_INFO);
    assert_int_equal(p.console, 0x3f8);
    assert_int_equal(p.on_exit, ON_EXIT_POWEROFF);
    assert_int_equal(p.qr, QR_AUTO);
    assert_int_equal(p.vmcall, VMCALL_KERNEL);
    assert_int_equal(p.trace, 0);
    assert_int_equal(p.profile, 0);
}

static void values(void **state)
{
    (void)state;
    struct params p = parsed("  mmu=ept vpid=off\tmem=3G p2m.max=2m log=debug console=com2 on-exit=halt ");
    assert_int_equal(p.vpid, VPID_OFF);
    assert_int_equal(p.mem, 3 * GIB);
    assert_int_equal(p.p2m_max, P2M_LEVEL_2M);
    assert_int_equal(p.log, LOG_DEBUG);
    assert_int_equal(p.console, 0x2f8);
    assert_int_equal(p.on_exit, ON_EXIT_HALT);
    assert_int_equal(parsed("p2m.max=4k").p2m_max, P2M_LEVEL_4K);
    assert_int_equal(parsed("audit=off").audit, 0);
    assert_int_equal(parsed("freq=keep").freq, FREQUENCY_KEEP);
    assert_int_equal(parsed("vmcall=user").vmcall, VMCALL_USER);
    assert_int_equal(parsed("qr=on").qr, QR_ON);
    assert_int_equal(parsed("qr=off").qr, QR_OFF);
    assert_int_equal(parsed("trace=65536").trace, 65536);
    assert_int_equal(parsed("trace=off").trace, 0);
    assert_int_equal(parsed("profile=on").profile, 4096);
    assert_int_equal(parsed("profile=1").profile, 1);
    assert_int_equal(parsed("audit=on").audit, 16);
    assert_int_equal(parsed("audit=1").audit, 1);
    assert_int_equal(parsed("audit=65000").audit, 65000);
    assert_int_equal(parsed("log=error").log, LOG_ERROR);
    assert_int_equal(parsed("log=warn").log, LOG_WARN);
    assert_int_equal(parsed("console=none").console, 0);
    assert_int_equal(parsed("console=auto").console, CONSOLE_AUTO);
    assert_int_equal(parsed("console=pci").console, CONSOLE_PCI);
    assert_int_equal(parsed("console=com3").console, 0x3e8);
    assert_int_equal(parsed("console=com4").console, 0x2e8);
    assert_int_equal(parsed("console=0xfff8").console, 0xfff8);
    assert_int_equal(parsed("on-exit=reboot").on_exit, ON_EXIT_REBOOT);
    assert_int_equal(parsed("mem=16M").mem, 16 * MIB);
    assert_int_equal(parsed("mem=16388K").mem, 16388 * KIB);
    assert_int_equal(parsed("mem=1024G").mem, 1024 * GIB);
    assert_int_equal(parsed("mem=0x20000000").mem, 512 * MIB);
}

// A word for two, on the command line and in a configuration.
static void word_for_others(void **state)
{
    (void)state;
    struct params p;
    assert_int_equal(params_parse(&p, "mem=1G mmu=auto", message, sizeof(message)), 0);
    assert_true(p.mmu_switch && p.mmu_auto);
    assert_int_equal(params_parse(&p, "", message, sizeof(message)), 0);
    assert_int_equal(params_change(&p, "mmu=auto", message, sizeof(message)), 0);
    assert_true(p.mmu_switch && p.mmu_auto);
    refused("mmu=auto mmu.auto=off", "mmu.auto= is given more than once: leave one of them.");
}

static void mistakes(void **state)
{
    (void)state;
    static const char mem[] = "mem= cannot be `%s': it takes a number from 16M to 1024G in steps of 4K.";
    static const char *const bad_mem[] = {"",      "15M", "16385K", "16777217",    "1025G",
                                          "512MB", "-1",  "on",     "99999999999G"};
    static const char names[] =
        "There is no parameter `%s': the parameters are mmu= vpid= mmu.switch= "
        "mmu.churn= mmu.auto= auto.by= auto.feed= mem= p2m.max= p2m.churn= pcid= pku= pmu= freq= shadow= shadow.vpid= shadow.directpf= "
        "shadow.invlpg= shadow.cr3= shadow.pcid= shadow.large= shadow.prefetch= shadow.pool= "
        "audit= compare= compare.how= compare.repeat= log= "
        "console= on-exit= qr= vmcall= limit= trace= profile= seed=.";
    static const char *const bad_name[] = {"mmux=ept", "mm=ept", "quiet", "mmu", "=", "MMU=ept", "vpid:on"};
    char line[256], sentence[440];
    for (size_t i = 0; i < ARRAY_SIZE(bad_mem); i++) {
        snprintf(line, sizeof(line), "vpid=on mem=%s", bad_mem[i]);
        snprintf(sentence, sizeof(sentence), mem, bad_mem[i]);
        refused(line, sentence);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad_name); i++) {
        snprintf(sentence, sizeof(sentence), names, bad_name[i]);
        refused(bad_name[i], sentence);
    }
    refused("mmu=shado", "mmu= cannot be `shado': it takes ept|shadow.");
    refused("vpid=1", "vpid= cannot be `1': it takes auto|on|off.");
    refused("vpid=on1", "vpid= cannot be `on1': it takes auto|on|off.");
    refused("vpid=o", "vpid= cannot be `o': it takes auto|on|off.");
    refused("p2m.max=1G", "p2m.max= cannot be `1G': it takes 4k|2m|1g.");
    refused("audit=0", "audit= cannot be `0': it takes off|on or a number from 1 to 65000.");
    refused("audit=65001", "audit= cannot be `65001': it takes off|on or a number from 1 to 65000.");
    refused("vmcall=on", "vmcall= cannot be `on': it takes kernel|user.");
    refused("trace=65537", "trace= cannot be `65537': it takes off or a number from 0 to 65536.");
    refused("log=all", "log= cannot be `all': it takes error|warn|info|debug.");
    refused(
        "console=com5",
        "console= cannot be `com5': it takes com1|com2|com3|com4|none|auto|pci or a number from 0x100 to 0xfff8.");
    refused(
        "console=0xfff9",
        "console= cannot be `0xfff9': it takes com1|com2|com3|com4|none|auto|pci or a number from 0x100 to 0xfff8.");
    refused("on-exit=off", "on-exit= cannot be `off': it takes poweroff|reboot|halt.");
    refused("mem=1G mem=512M", "mem= is given more than once: leave one of them.");
}

// What came before the bad word is in effect, above all the console.
// What makes the word that no guest may know is in no text that a guest can ask for.
static void secret(void **state)
{
    (void)state;
    struct params p = parsed("seed=0xfedcba9876543210 limit=60");
    assert_int_equal(p.seed, 0xfedcba9876543210);
    char text[PARAMS_TEXT];
    int length = params_text(&p, text, sizeof(text));
    assert_int_equal(length, strlen(text));
    assert_null(strstr(text, "seed"));
    assert_non_null(strstr(text, " limit=60 "));
    assert_int_equal(params_change(&p, "seed=1", message, sizeof(message)), ERR_INVALID);
}

// The longest list of configurations that can be fits into the text of all parameters.
static void longest(void **state)
{
    (void)state;
    char line[1200] = "compare=", text[PARAMS_TEXT];
    for (unsigned i = 0; i < 16 * 64 - 1; i++)
        strcat(line, "x");
    struct params p = parsed(line);
    assert_in_range(params_text(&p, text, sizeof(text)), 16 * 64, sizeof(text) - 1);
}

static void words_before_a_mistake(void **state)
{
    (void)state;
    struct params p;
    assert_int_equal(params_parse(&p, "console=com2 mem=0", message, sizeof(message)), ERR_INVALID);
    assert_int_equal(p.console, 0x2f8);
    assert_int_equal(p.mem, 512 * MIB);
}

// A word that is cut must not pass for its beginning.
static void long_words(void **state)
{
    (void)state;
    char line[400];
    struct params p;
    for (int length = 12; length < 300; length++) { // of a word that is valid, but for the x at its end
        snprintf(line, sizeof(line), "mem=%0*dx", length - 4, 16777216);
        assert_int_equal(params_parse(&p, line, message, sizeof(message)), ERR_INVALID);
    }
    snprintf(line, sizeof(line), "mem=%0*d", 75, 16777216); // the longest that is looked at
    assert_int_equal(parsed(line).mem, 16 * MIB);
    char tiny[8];
    assert_int_equal(params_parse(&p, "what=ever", tiny, sizeof(tiny)), ERR_INVALID);
    assert_string_equal(tiny, "There i");
}

static void printing(void **state)
{
    (void)state;
    static const char *const expected[PARAMS_COUNT] = {
        "mmu=ept",
        "vpid=off",
        "mmu.switch=off",
        "mmu.churn=0",
        "mmu.auto=off",
        "auto.by=guest",
        "auto.feed=off",
        "mem=1537M",
        "p2m.max=1g",
        "p2m.churn=0",
        "pcid=on",
        "pku=off",
        "pmu=off",
        "freq=turbo",
        "shadow=trace",
        "shadow.vpid=root",
        "shadow.directpf=on",
        "shadow.invlpg=direct",
        "shadow.cr3=inplace",
        "shadow.pcid=off",
        "shadow.large=on",
        "shadow.prefetch=8",
        "shadow.pool=64",
        "audit=on",
        "compare=ept/trace,vpid=off",
        "compare.how=switch",
        "compare.repeat=3",
        "log=warn",
        "console=0x2000",
        "on-exit=reboot",
        "qr=on",
        "vmcall=user",
        "limit=60",
        "trace=100",
        "profile=65536",
        "seed=0",
    };
    struct params p = parsed(
        "vpid=off mem=1537M pku=off pmu=off freq=turbo shadow=trace shadow.pool=64 "
        "audit=16 compare=ept/trace,vpid=off compare.how=switch compare.repeat=3 log=warn console=0x2000 "
        "on-exit=reboot qr=on vmcall=user limit=60 trace=100 profile=65536");
    char line[600], text[200];
    *line = 0;
    for (unsigned i = 0; i < PARAMS_COUNT; i++) {
        assert_int_equal(params_format(&p, i, text, sizeof(text)), strlen(expected[i]));
        assert_string_equal(text, expected[i]);
        strcat(strcat(line, " "), text);
    }
    struct params again = parsed(line); // what is printed can be typed
    assert_ptr_equal(again.compare_list, strstr(line, "ept/trace"));
    for (unsigned i = 0; i < PARAMS_COUNT; i++) {
        params_format(&again, i, text, sizeof(text));
        assert_string_equal(text, expected[i]);
    }
    params_format(&(struct params){.mem = 16388 * KIB}, PARAM_INDEX_mem, text, sizeof(text));
    assert_string_equal(text, "mem=16388K");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(values),
        cmocka_unit_test(word_for_others),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(words_before_a_mistake),
        cmocka_unit_test(secret),
        cmocka_unit_test(longest),
        cmocka_unit_test(long_words),
        cmocka_unit_test(printing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
