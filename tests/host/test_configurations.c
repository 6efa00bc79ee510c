// The list of configurations that compare= gives.

// link: hv/policy/configurations.c hv/policy/params.c
#include "support.h"

#include <stdio.h>

#include "hv/policy/configurations.h"

static struct configurations all;
static char message[512];

static int read_line(const char *line)
{
    static char kept[2048]; // compare= points into it
    struct params params;
    snprintf(kept, sizeof(kept), "%s", line);
    if (params_parse(&params, kept, message, sizeof(message)))
        return ERR_INVALID;
    return configurations_read(&all, &params, message, sizeof(message));
}

static void refused(const char *line, const char *sentence)
{
    assert_int_equal(read_line(line), ERR_INVALID);
    assert_string_equal(message, sentence);
}

static void default_list(void **state)
{
    (void)state;
    assert_int_equal(read_line("mem=256M compare=default shadow.pool=99"), 0);
    static const struct {
        const char *name;
        u64 mmu, vpid, p2m_max, shadow;
    } expected[] = {
        {"ept", MMU_EPT, VPID_AUTO, P2M_LEVEL_1G, SHADOW_ADAPTIVE},
        {"ept,vpid=off", MMU_EPT, VPID_OFF, P2M_LEVEL_1G, SHADOW_ADAPTIVE},
        {"ept,p2m.max=4k", MMU_EPT, VPID_AUTO, P2M_LEVEL_4K, SHADOW_ADAPTIVE},
        {"adaptive", MMU_SHADOW, VPID_AUTO, P2M_LEVEL_1G, SHADOW_ADAPTIVE},
        {"adaptive,vpid=off", MMU_SHADOW, VPID_OFF, P2M_LEVEL_1G, SHADOW_ADAPTIVE},
        {"trace", MMU_SHADOW, VPID_AUTO, P2M_LEVEL_1G, SHADOW_TRACE},
        {"lazy", MMU_SHADOW, VPID_AUTO, P2M_LEVEL_1G, SHADOW_LAZY},
        {"eager", MMU_SHADOW, VPID_AUTO, P2M_LEVEL_1G, SHADOW_EAGER},
    };
    assert_int_equal(all.count, ARRAY_SIZE(expected));
    for (unsigned i = 0; i < all.count; i++) {
        const struct params *p = &all.list[i].params;
        assert_string_equal(all.list[i].name, expected[i].name);
        assert_int_equal(p->mmu, expected[i].mmu);
        assert_int_equal(p->vpid, expected[i].vpid);
        assert_int_equal(p->p2m_max, expected[i].p2m_max);
        assert_int_equal(p->shadow, expected[i].shadow);
        assert_int_equal(p->mem, 256 * MIB); // given for all
        assert_int_equal(p->pool, 99);
    }
}

// What all have in common is given once; the list ends with its word.
static void own_list(void **state)
{
    (void)state;
    assert_int_equal(read_line("mmu=shadow compare=shadow.prefetch=0/shadow.prefetch=8,vpid=on\tvpid=off"),
                     0);
    assert_int_equal(all.count, 2);
    assert_string_equal(all.list[0].name, "shadow.prefetch=0");
    assert_int_equal(all.list[0].params.mmu, MMU_SHADOW);
    assert_int_equal(all.list[0].params.prefetch, 0);
    assert_int_equal(all.list[0].params.vpid, VPID_OFF);
    assert_string_equal(all.list[1].name, "shadow.prefetch=8,vpid=on");
    assert_int_equal(all.list[1].params.prefetch, 8);
    assert_int_equal(all.list[1].params.vpid, VPID_ON);
    assert_int_equal(read_line("compare=shadow"), 0);
    assert_int_equal(all.count, 1);
}

static void mistakes(void **state)
{
    (void)state;
    refused("compare=ept/", "compare=: a configuration is empty or longer than 63 characters: ");
    refused("compare=/ept", "compare=: a configuration is empty or longer than 63 characters: /ept");
    refused("compare=ept//eager", "compare=: a configuration is empty or longer than 63 characters: /eager");
    refused("compare=ept/trace/ept", "compare=: given twice, leave one of them: ept");
    refused("compare=ept,vpid=1", "vpid= cannot be `1': it takes auto|on|off.");
    refused("compare=ept,mem=1G", "mem= cannot differ between configurations: give it as a word of its own.");
    refused("compare=compare=ept",
            "compare= cannot differ between configurations: give it as a word of its own.");
    assert_int_equal(read_line("compare=mmu"), ERR_INVALID);
    assert_non_null(strstr(message, "There is no parameter `mmu'"));
}

static void too_many(void **state)
{
    (void)state;
    char line[1024] = "compare=shadow.prefetch=0", more[32];
    for (unsigned i = 1; i < CONFIGURATIONS_MAX; i++) {
        snprintf(more, sizeof(more), "/shadow.prefetch=%u", i);
        strcat(line, more);
    }
    assert_int_equal(read_line(line), 0); // longer than the parser's own buffer for a word
    assert_int_equal(all.count, CONFIGURATIONS_MAX);
    assert_int_equal(all.list[15].params.prefetch, 15);
    strcat(line, "/ept");
    refused(line, "compare=: more than 16 configurations, leave some out: ept");
    memset(line + 8, 'x', 64);
    line[72] = 0;
    assert_int_equal(read_line(line), ERR_INVALID);
}

// The boots of a list, as names; of a boot by switch, what it stands for.
static const char *boots_of(const char *line, enum compare_how how)
{
    static struct configurations boots;
    static char text[1024];
    assert_int_equal(read_line(line), 0);
    if (configurations_boots(&boots, &all, how, message, sizeof(message)))
        return message;
    *text = 0;
    for (unsigned i = 0; i < boots.count; i++) {
        const struct configuration *boot = &boots.list[i];
        strcat(strcat(text, i ? " " : ""), boot->name);
        assert_true(!boot->by_switch || boot->params.mmu_switch);
        for (unsigned k = 0, n = 0; k < all.count; k++) {
            if (configuration_by_switch(boot, &all.list[k]))
                strcat(strcat(text, n++ ? "/" : ":"), all.list[k].name);
        }
    }
    return text;
}

static void boots(void **state)
{
    (void)state;
    static const char list[] =
        "compare=ept/ept,pcid=off/trace/lazy,vpid=off/eager,pcid=off/trace,shadow.pool=99";
    assert_string_equal(boots_of(list, COMPARE_BOOT),
                        "ept ept,pcid=off trace lazy,vpid=off eager,pcid=off trace,shadow.pool=99");
    assert_string_equal(
        boots_of(list, COMPARE_SWITCH),
        "ept trace,shadow.pool=99 switch:ept/trace/lazy,vpid=off switch-2:ept,pcid=off/eager,pcid=off");
    assert_string_equal(boots_of(list, COMPARE_BOTH),
                        "ept ept,pcid=off trace lazy,vpid=off eager,pcid=off trace,shadow.pool=99 "
                        "switch:ept/trace/lazy,vpid=off switch-2:ept,pcid=off/eager,pcid=off");
    assert_string_equal(boots_of("compare=trace pcid=off", COMPARE_SWITCH), "trace");
    assert_string_equal( // one boot for each shows what PCID is worth
        boots_of("compare=trace/ept,vpid=off/ept/ept,p2m.max=4k/ept,shadow.pool=99/lazy,shadow.pool=99",
                 COMPARE_SWITCH),
        "ept,vpid=off ept,shadow.pool=99 switch:trace/ept,vpid=off/ept/ept,p2m.max=4k "
        "switch-2:ept,shadow.pool=99/lazy,shadow.pool=99");
    assert_string_equal(boots_of("compare=trace/ept,mmu.switch=on", COMPARE_SWITCH),
                        "switch:trace/ept,mmu.switch=on");
    char line[1024] = "compare=shadow.prefetch=0", more[32];
    for (unsigned i = 1; i < CONFIGURATIONS_MAX; i++) {
        snprintf(more, sizeof(more), "/shadow.prefetch=%u", i);
        strcat(line, more);
    }
    assert_string_equal(boots_of(line, COMPARE_BOTH),
                        "compare=: with compare.how= these are more than 16 boots, leave some out");
    assert_int_equal(read_line(line), 0);
    assert_ptr_equal(configurations_find(&all, "shadow.prefetch=15"), &all.list[15]);
    assert_null(configurations_find(&all, "shadow.prefetch=1,"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_list), cmocka_unit_test(own_list), cmocka_unit_test(mistakes),
        cmocka_unit_test(too_many),     cmocka_unit_test(boots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
