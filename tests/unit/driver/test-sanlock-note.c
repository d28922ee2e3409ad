/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/note.h"

#include "base/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static char run_dir[128];
static struct hf_paths paths;

/* The program that is armed only has to be there. */
static int make_program(void)
{
        char path[128];
        FILE *out;

        (void)snprintf(path, sizeof(path), "%s/holdfast-sanlock-killpath", folder);
        out = fopen(path, "w");
        return !out || fclose(out) != 0 || chmod(path, 0755) < 0 ||
                               setenv("HOLDFAST_LIBEXEC_DIR", folder, 1) < 0
                       ? -1
                       : 0;
}

static int make_folder(void **state)
{
        (void)state;
        (void)snprintf(folder, sizeof(folder), "/tmp/hf-note-XXXXXX");
        if (!mkdtemp(folder))
                return -1;
        (void)snprintf(run_dir, sizeof(run_dir), "%s/run", folder);
        paths = (struct hf_paths){.run_dir = run_dir};
        return make_program();
}

static int remove_folder(void **state)
{
        char command[128];

        (void)state;
        (void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
        return system(command);
}

static void text_file(const char *path, const char *text, mode_t mode)
{
        FILE *out;

        (void)unlink(path);
        out = fopen(path, "w");
        assert_non_null(out);
        assert_true(fputs(text, out) >= 0);
        assert_int_equal(fclose(out), 0);
        assert_int_equal(chmod(path, mode), 0);
}

static char *copy(const char *text)
{
        char *made = strdup(text);

        assert_non_null(made);
        return made;
}

/* The note of this process. */
static struct hf_sanlock_note written(const char *name, const char *monitor)
{
        struct hf_sanlock_note note = {
                .name = copy(name),
                .uuid = copy("c7a5fdbd-edaf-9455-926a-d65c16db1809"),
                .via = copy("holdfast run"),
                .monitor = monitor ? copy(monitor) : NULL,
                .action = HF_SANLOCK_ACTION_PAUSE,
        };
        struct hf_error error = {0};

        if (hf_sanlock_note_write(&paths, &note, &error) < 0)
                fail_msg("%s", error.text);
        return note;
}

static void what_is_written_is_read_whatever_the_names_are(void **state)
{
        static const char *const names[] = {
                "web1",         "",     "\"",  "a\"b'c\"\"\"d",
                "line\nline\r", "100%", "%41", "\xc3\xa9 \xff\x01",
        };

        (void)state;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                hf_cleanup_sanlock_note struct hf_sanlock_note note = written(names[i],
                                                                              "/a\"%\n/m");
                hf_cleanup_sanlock_note struct hf_sanlock_note got = {0};
                struct hf_error error = {0};
                struct stat st;

                if (hf_sanlock_note_read(note.path, &got, &error) < 0)
                        fail_msg("%s", error.text);
                assert_string_equal(got.name, names[i]);
                assert_string_equal(got.monitor, "/a\"%\n/m");
                assert_null(got.run_dir);
                assert_int_equal(got.pid, getpid());
                assert_int_equal(got.start, note.start);
                assert_int_equal(got.action, HF_SANLOCK_ACTION_PAUSE);
                assert_int_equal(got.owner, geteuid());
                assert_int_equal(stat(note.path, &st), 0);
                assert_int_equal(st.st_mode & 07777, 0600);
        }
}

static int read_at(const char *path, struct hf_error *err)
{
        hf_cleanup_sanlock_note struct hf_sanlock_note got = {0};

        return hf_sanlock_note_read(path, &got, err);
}

static void a_note_that_others_could_have_written_is_not_believed(void **state)
{
        hf_cleanup_sanlock_note struct hf_sanlock_note note = written("a", NULL);
        struct hf_error error = {0};
        char dir[192], other[256];

        (void)state;
        (void)snprintf(dir, sizeof(dir), "%s/sanlock", run_dir);
        assert_int_equal(read_at(note.path, NULL), 0);
        assert_int_equal(chmod(note.path, 0620), 0);
        assert_int_equal(read_at(note.path, NULL), -EPERM);
        assert_int_equal(chmod(note.path, 0602), 0);
        assert_int_equal(read_at(note.path, NULL), -EPERM);
        assert_int_equal(chmod(note.path, 0600), 0);
        assert_int_equal(chmod(dir, 0770), 0);
        assert_int_equal(read_at(note.path, NULL), -EPERM);
        assert_int_equal(chmod(dir, 0700), 0);
        (void)snprintf(other, sizeof(other), "%s/other", dir);
        assert_int_equal(link(note.path, other), 0);
        assert_int_equal(read_at(note.path, &error), -EPERM);
        assert_non_null(strstr(error.text, "several names"));
        assert_int_equal(unlink(other), 0);
        assert_int_equal(read_at(note.path, NULL), 0);
}

static void what_is_no_file_of_ours_is_not_followed_or_waited_for(void **state)
{
        hf_cleanup_sanlock_note struct hf_sanlock_note note = written("a", NULL);
        char place[256], dir[192], away[256];

        (void)state;
        (void)snprintf(dir, sizeof(dir), "%s/sanlock", run_dir);
        (void)snprintf(place, sizeof(place), "%s/1-1", dir);
        assert_int_equal(symlink(note.path, place), 0);
        assert_int_equal(read_at(place, NULL), -EPERM);
        assert_int_equal(unlink(place), 0);
        assert_int_equal(mkfifo(place, 0600), 0);
        assert_int_equal(read_at(place, NULL), -EPERM);
        assert_int_equal(unlink(place), 0);
        assert_int_equal(mkdir(place, 0700), 0);
        assert_int_equal(read_at(place, NULL), -EPERM);
        assert_int_equal(rmdir(place), 0);
        assert_int_equal(read_at(place, NULL), -ENOENT);
        (void)snprintf(away, sizeof(away), "%s/away", folder);
        assert_int_equal(symlink(dir, away), 0);
        (void)snprintf(away, sizeof(away), "%s/away%s", folder, strrchr(note.path, '/'));
        assert_int_equal(read_at(away, NULL), -EPERM);
        (void)snprintf(away, sizeof(away), "%s/up", folder);
        assert_int_equal(symlink(folder, away), 0);
        (void)snprintf(away, sizeof(away), "%s/up/run/sanlock%s", folder, strrchr(note.path, '/'));
        assert_int_equal(read_at(away, NULL), -EPERM);
        assert_int_equal(read_at("relative", NULL), -EINVAL);
        assert_int_equal(read_at("/", NULL), -EINVAL);
        assert_int_equal(read_at("/etc/", NULL), -EINVAL);
}

static void a_note_is_written_where_it_is_believed(void **state)
{
        char link[128], dir[128];
        struct hf_paths by_link = {.run_dir = link};
        hf_cleanup_sanlock_note struct hf_sanlock_note note = {0}, found = {0}, other = {0};
        struct hf_error error = {0};

        (void)state;
        (void)snprintf(link, sizeof(link), "%s/by-link", folder);
        assert_int_equal(symlink("run", link), 0);
        assert_int_equal(hf_sanlock_note_write(&by_link, &note, NULL), 0);
        assert_int_equal(read_at(note.path, NULL), 0);
        assert_int_equal(hf_sanlock_note_find(&by_link, getpid(), &found), 1);
        assert_string_equal(found.path, note.path);
        other.monitor = copy("here");
        assert_int_equal(hf_sanlock_note_write(&paths, &other, NULL), -EINVAL);
        /* Whoever can write the directory above can put another one there. */
        (void)snprintf(dir, sizeof(dir), "%s", folder);
        assert_int_equal(chmod(dir, 0777), 0);
        assert_int_equal(hf_sanlock_note_arm(-1, &note, &error), -EPERM);
        assert_non_null(strstr(error.text, "would do nothing"));
        assert_int_equal(chmod(dir, 01777), 0);
        assert_int_equal(read_at(note.path, NULL), 0);
        assert_int_equal(chmod(dir, 0700), 0);
}

static void a_path_that_sanlock_would_crop_is_refused(void **state)
{
        struct hf_sanlock_note note = {.path = copy("/")};
        struct hf_error error = {0};
        char path[160];

        (void)state;
        /* Blanks take two bytes. */
        (void)memset(path, 'a', sizeof(path));
        path[0] = '/';
        path[124] = '\0';
        for (size_t i = 10; i < 13; i++)
                path[i] = ' ';
        free(note.path);
        note.path = copy(path);
        assert_int_equal(hf_sanlock_note_arm(-1, &note, &error), -ENAMETOOLONG);
        assert_non_null(strstr(error.text, "126 bytes"));
        hf_sanlock_note_clear(&note);
        assert_int_equal(setenv("HOLDFAST_LIBEXEC_DIR", path, 1), 0);
        note.path = copy("/a");
        assert_int_equal(hf_sanlock_note_arm(-1, &note, &error), -ENAMETOOLONG);
        assert_int_equal(setenv("HOLDFAST_LIBEXEC_DIR", folder, 1), 0);
        hf_sanlock_note_clear(&note);
}

static void a_text_that_is_no_note_is_refused_and_not_shown(void **state)
{
        static const char *const texts[] = {
                "",
                "secret words\n",
                "pid = 7\nstart = 8\n",                               /* no action */
                "pid = 7\nstart = 8\naction = \"restart\"\n",         /* one that is not ours */
                "pid = 8\nstart = 8\naction = \"pause\"\n",           /* of another process */
                "pid = 7\nstart = 9\naction = \"pause\"\n",           /* and of one before it */
                "pid = -7\nstart = 8\naction = \"pause\"\n",          /* a group of processes */
                "pid = 7\nstart = 8\naction = \"pause\"\nname = 3\n", /* no text */
                "pid = 7\nstart = 8\naction = \"pause\"\nname = \"%zz\"\n",
                "pid = 7\nstart = 8\naction = \"pause\"\nname = \"a%00b\"\n",
                "pid = 7\nstart = 8\naction = \"pause\"\nmonitor = \"here\"\n",
                "pid = 7\nstart = 8\naction = \"pause\"\nrun_dir = \"here\"\n",
        };
        hf_cleanup_sanlock_note struct hf_sanlock_note note = written("a", NULL);
        char place[256];

        (void)state;
        (void)snprintf(place, sizeof(place), "%s/sanlock/7-8", run_dir);
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                struct hf_error error = {0};

                text_file(place, texts[i], 0600);
                assert_true(read_at(place, &error) == -EINVAL);
                assert_null(strstr(error.text, "secret"));
        }
        text_file(place, "pid = 7\nstart = 8\naction = \"pause\"\n", 0600);
        assert_int_equal(read_at(place, NULL), 0);
        assert_int_equal(truncate(place, 1 << 20), 0);
        assert_int_equal(read_at(place, NULL), -EPERM);
}

static void notes_of_processes_that_are_gone_go_with_the_next_one(void **state)
{
        hf_cleanup_sanlock_note struct hf_sanlock_note first = written("a", NULL);
        hf_cleanup_sanlock_note struct hf_sanlock_note note = {0};
        char place[256], theirs[256], foreign[256];
        pid_t gone = fork();

        (void)state;
        if (gone == 0)
                _exit(0);
        assert_int_equal(waitpid(gone, NULL, 0), gone);
        (void)snprintf(place, sizeof(place), "%s/sanlock/%d-5.state", run_dir, (int)gone);
        (void)snprintf(theirs, sizeof(theirs), "%s/sanlock/%d-5", run_dir, (int)getppid());
        (void)snprintf(foreign, sizeof(foreign), "%s/sanlock/%dx", run_dir, (int)gone);
        text_file(place, "", 0600);
        text_file(theirs, "", 0600);
        text_file(foreign, "", 0600);
        note = written("b", NULL);
        assert_int_not_equal(access(place, F_OK), 0);
        assert_int_equal(access(theirs, F_OK), 0);
        assert_int_equal(access(foreign, F_OK), 0);
}

static void a_vm_is_found_by_its_process_and_its_names(void **state)
{
        hf_cleanup_sanlock_note struct hf_sanlock_note note = written("web one", NULL);
        char pid[16];
        const char *const words[] = {"web one", "C7A5FDBD-edaf-9455-926a-d65c16db1809", pid};
        struct hf_error error = {0};

        (void)state;
        (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
        for (size_t i = 0; i < 3; i++) {
                hf_cleanup_sanlock_note struct hf_sanlock_note got = {0};

                assert_int_equal(hf_sanlock_note_named(&paths, words[i], &got, &error), 0);
                assert_string_equal(got.path, note.path);
        }
        assert_int_equal(hf_sanlock_note_named(&paths, "web2", &note, &error), -ENOENT);
        assert_int_equal(hf_sanlock_note_find(&paths, getppid(), &note), 0);
}

static void the_versions_of_its_leases_lie_beside_it(void **state)
{
        hf_cleanup_sanlock_note struct hf_sanlock_note note = written("a", NULL);
        hf_cleanup_sanlock_note struct hf_sanlock_note got = {0};
        hf_cleanup_free char *text = NULL, *path = hf_sanlock_note_state_path(&note);

        (void)state;
        assert_int_equal(hf_sanlock_note_read(note.path, &got, NULL), 0);
        assert_int_equal(hf_sanlock_note_state_read(&got, &text, NULL), -ENOENT);
        assert_false(hf_sanlock_note_has_state(&paths, getpid()));
        assert_int_equal(hf_sanlock_note_state_write(&got, "LS:key:/p:0:7", NULL), 0);
        assert_int_equal(hf_sanlock_note_state_read(&got, &text, NULL), 0);
        assert_string_equal(text, "LS:key:/p:0:7");
        assert_true(hf_sanlock_note_has_state(&paths, getpid()));
        assert_int_equal(chmod(path, 0666), 0);
        assert_int_equal(hf_sanlock_note_state_read(&got, &text, NULL), -EPERM);
}

static void the_versions_of_very_many_leases_are_read_again(void **state)
{
        hf_cleanup_sanlock_note struct hf_sanlock_note note = written("a", NULL);
        hf_cleanup_sanlock_note struct hf_sanlock_note got = {0};
        const size_t len = 4096 * 300;
        hf_cleanup_free char *text = malloc(len + 1), *again = NULL;
        hf_cleanup_free char *huge = malloc(8 * len + 1);

        (void)state;
        memset(text, 'x', len);
        text[len] = '\0';
        memset(huge, 'x', 8 * len);
        huge[8 * len] = '\0';
        assert_int_equal(hf_sanlock_note_read(note.path, &got, NULL), 0);
        assert_int_equal(hf_sanlock_note_state_write(&got, text, NULL), 0);
        assert_int_equal(hf_sanlock_note_state_read(&got, &again, NULL), 0);
        assert_string_equal(again, text);
        assert_int_equal(hf_sanlock_note_state_write(&got, huge, NULL), -E2BIG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_written_is_read_whatever_the_names_are),
                cmocka_unit_test(a_note_that_others_could_have_written_is_not_believed),
                cmocka_unit_test(what_is_no_file_of_ours_is_not_followed_or_waited_for),
                cmocka_unit_test(a_note_is_written_where_it_is_believed),
                cmocka_unit_test(a_path_that_sanlock_would_crop_is_refused),
                cmocka_unit_test(a_text_that_is_no_note_is_refused_and_not_shown),
                cmocka_unit_test(notes_of_processes_that_are_gone_go_with_the_next_one),
                cmocka_unit_test(a_vm_is_found_by_its_process_and_its_names),
                cmocka_unit_test(the_versions_of_its_leases_lie_beside_it),
                cmocka_unit_test(the_versions_of_very_many_leases_are_read_again),
        };

        return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
