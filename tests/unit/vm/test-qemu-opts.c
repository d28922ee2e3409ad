/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Option texts and the trees they stand for.
 */

#include "vm/qemu-opts.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum how { OPTS, KEYVAL, JSON };

struct row {
        const char *sentence;
        enum how how;
        const char *text;
        const char *want; /* the tree as JSON; NULL: refused */
};

static const struct row rows[] = {
        {"nothing is an empty tree", OPTS, "", "{}"},
        {"keys become keys", OPTS, "a=1,b=2", "{\"a\":\"1\",\"b\":\"2\"}"},
        {"a comma at the end is nothing", OPTS, "a=1,", "{\"a\":\"1\"}"},
        {"two commas are one", OPTS, "a=1,,2,b=,,", "{\"a\":\"1,2\",\"b\":\",\"}"},
        {"the last of a key counts", OPTS, "a=1,a=2", "{\"a\":\"2\"}"},
        {"the first word has a key", OPTS, "x,,y,a=1", "{\"driver\":\"x,y\",\"a\":\"1\"}"},
        {"a first word with '=' is a key", OPTS, "x=y", "{\"x\":\"y\"}"},
        {"a bare word is a switch", OPTS, "x,on,nooff,no",
         "{\"driver\":\"x\",\"on\":\"on\",\"off\":\"off\",\"\":\"off\"}"},
        {"a bare word is refused in -blockdev", KEYVAL, "x,y", NULL},
        {"a key that is missing is refused", OPTS, "a=1,=2", NULL},
        {"a value may be empty", KEYVAL, "a=,b=", "{\"a\":\"\",\"b\":\"\"}"},
        {"dots make groups", KEYVAL, "a.b.c=1,a.b.d=2,a.e=3",
         "{\"a\":{\"b\":{\"c\":\"1\",\"d\":\"2\"},\"e\":\"3\"}}"},
        {"a value cannot become a group", KEYVAL, "a=1,a.b=2", NULL},
        {"a group cannot become a value", KEYVAL, "a.b=2,a=1", NULL},
        {"JSON stays JSON", JSON, "{\"a\":{\"b\":[1,true,null]}}", "{\"a\":{\"b\":[1,true,null]}}"},
        {"dots in JSON make groups", JSON, "{\"a.b\":1,\"a\":{\"c\":2}}",
         "{\"a\":{\"b\":1,\"c\":2}}"},
        {"dots in JSON lists make groups", JSON, "{\"l\":[{\"a.b\":1},\"x\"]}",
         "{\"l\":[{\"a\":{\"b\":1}},\"x\"]}"},
        {"blanks around JSON are nothing", JSON, " {} \n", "{}"},
        {"JSON that is no object is refused", JSON, "[]", NULL},
        {"JSON that is null is refused", JSON, "null", NULL},
        {"JSON in two is refused", JSON, "{}{}", NULL},
        {"no JSON at all is refused", JSON, "", NULL},
};

static int to_tree(enum how how, const char *text, struct json_object **ret, struct hf_error *err)
{
        struct json_object *flat = NULL;
        int r;

        if (how == JSON)
                r = hf_qemu_json_parse(text, &flat, err);
        else
                r = hf_qemu_opts_parse(text, how == OPTS ? HF_QEMU_OPTS : HF_QEMU_KEYVAL, "driver",
                                       &flat, err);
        if (r >= 0)
                r = hf_qemu_tree_expand(flat, ret, err);
        json_object_put(flat);
        return r;
}

static void reads_as_the_row_says(void **state)
{
        const struct row *row = *state;
        struct json_object *tree = NULL;
        struct hf_error err = {0};
        int r = to_tree(row->how, row->text, &tree, &err);

        if (!row->want) {
                assert_int_equal(r, -EINVAL);
                assert_null(tree);
                assert_int_not_equal(err.text[0], '\0');
                return;
        }
        assert_string_equal(err.text, "");
        assert_int_equal(r, 0);
        assert_string_equal(json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN),
                            row->want);
        json_object_put(tree);
}

static void json_nested_too_deeply_is_refused(void **state)
{
        enum { LEVELS = HF_QEMU_DEPTH_MAX + 1 };
        char text[8 * LEVELS] = "";
        struct json_object *tree = NULL;

        (void)state;
        for (int i = 0; i < LEVELS; i++)
                strcat(text, "{\"a\":");
        strcat(text, "1");
        for (int i = 0; i < LEVELS; i++)
                strcat(text, "}");
        assert_int_equal(to_tree(JSON, text, &tree, NULL), -EINVAL);
}

static void dots_and_groups_together_count_as_levels(void **state)
{
        struct json_object *tree = NULL;

        (void)state;
        assert_int_equal(to_tree(JSON,
                                 "{\"a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a\":{\"a.a.a.a.a.a.a.a.a.a."
                                 "a.a.a.a.a.a\":{\"x\":1}}}",
                                 &tree, NULL),
                         -EINVAL);
}

static void an_overlay_joins_groups_and_replaces_values(void **state)
{
        struct json_object *base = json_tokener_parse("{'a':{'b':1,'c':2},'d':3,'e':{'f':1}}");
        struct json_object *over = json_tokener_parse("{'a':{'b':9},'d':{'x':1},'e':null}");

        (void)state;
        assert_int_equal(hf_qemu_tree_overlay(base, over, NULL), 0);
        assert_string_equal(json_object_to_json_string_ext(base, JSON_C_TO_STRING_PLAIN),
                            "{\"a\":{\"b\":9,\"c\":2},\"d\":{\"x\":1},\"e\":null}");
        json_object_put(base);
        json_object_put(over);
}

static void a_switch_has_many_words(void **state)
{
        struct json_object *tree = json_tokener_parse(
                "{'a':'on','b':'yes','c':'true','d':'y','e':true,"
                "'f':'off','g':'no','h':'false','i':'n','j':false,'k':'On','l':1,'m':null}");

        (void)state;
        for (char key[2] = "a"; key[0] <= 'j'; key[0]++) {
                bool value = key[0] > 'e';

                assert_int_equal(hf_qemu_tree_switch(tree, key, &value, NULL), 1);
                assert_int_equal(value, key[0] <= 'e');
        }
        for (char key[2] = "k"; key[0] <= 'm'; key[0]++)
                assert_int_equal(hf_qemu_tree_switch(tree, key, &(bool){false}, NULL), -EINVAL);
        assert_int_equal(hf_qemu_tree_switch(tree, "z", &(bool){false}, NULL), 0);
        json_object_put(tree);
}

int main(void)
{
        static const struct CMUnitTest more[] = {
                cmocka_unit_test(json_nested_too_deeply_is_refused),
                cmocka_unit_test(dots_and_groups_together_count_as_levels),
                cmocka_unit_test(an_overlay_joins_groups_and_replaces_values),
                cmocka_unit_test(a_switch_has_many_words),
        };
        enum { N = sizeof(rows) / sizeof(rows[0]), MORE = sizeof(more) / sizeof(more[0]) };
        static struct CMUnitTest tests[N + MORE];

        for (size_t i = 0; i < N; i++)
                tests[i] = (struct CMUnitTest){.name = rows[i].sentence,
                                               .test_func = reads_as_the_row_says,
                                               .initial_state = (void *)(uintptr_t)&rows[i]};
        memcpy(tests + N, more, sizeof(more));
        return cmocka_run_group_tests(tests, NULL, NULL);
}
