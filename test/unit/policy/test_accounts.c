#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy/accounts.h"

#define SALT12 "9GN3BtP7TGaiMYbp"
#define SALT64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="
#define HASH   "+HiTN+wWXATGsIbJCnSrjsciwe4d4n2OMZ/cX5ACnngikMPfWcd8ZLzJS+aNljWp/zFoZQLqFNLfq0/m68EcQA=="
#define GOOD   "$7$101$" SALT12 "$" HASH

static struct span text(const char *string) {
    return span_of_text(string);
}

struct file {
    struct arena *arena;
    struct findings findings;
    struct accounts *accounts;
};

/* The text is copied to its exact size, and gone before anything is asked. */
static struct file open_file(struct span bytes) {
    struct file file = {.arena = arena_create()};
    findings_init(&file.findings);
    uint8_t *exact = malloc(bytes.size);
    if (bytes.size != 0)
        memcpy(exact, bytes.at, bytes.size);
    file.accounts = accounts_read(file.arena, "f", span_of(exact, bytes.size), &file.findings);
    free(exact);
    return file;
}

static void close_file(struct file *file) {
    findings_clear(&file->findings);
    arena_destroy(file->arena);
}

static void test_good_file(void **state) {
    (void)state;
    struct file file = open_file(text("# comment: $7$x\n"
                                      "ann:" GOOD "\n"
                                      "\n \t \r\n"
                                      "  Bob Lee  :  $7$1$" SALT64 "$" HASH "  \r\n"
                                      "# without colon\n"
                                      "old:$6$" SALT12 "$" HASH "\r\n"
                                      "last:$6$" SALT64 "$" HASH));
    assert_non_null(file.accounts);
    assert_int_equal(file.findings.size, 0);
    assert_int_equal(accounts_count(file.accounts), 4);

    const struct account *ann = accounts_find(file.accounts, text("ann"));
    assert_non_null(ann);
    assert_int_equal(ann->kind, ACCOUNT_PBKDF2);
    assert_int_equal(ann->iterations, 101);
    assert_int_equal(ann->salt_size, 12);
    assert_int_equal(ann->salt[0], 0xf4);
    assert_int_equal(ann->salt[11], 0xe9);
    assert_int_equal(ann->hash[0], 0xf8);
    assert_int_equal(ann->hash[63], 0x40);
    assert_int_equal(ann->line, 2);
    assert_true(span_is_text(ann->username, "ann"));

    const struct account *bob = accounts_find(file.accounts, text("Bob Lee"));
    assert_non_null(bob);
    assert_int_equal(bob->iterations, 1);
    assert_int_equal(bob->salt_size, 64);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(bob->salt[i], i);
    assert_int_equal(accounts_find(file.accounts, text("old"))->kind, ACCOUNT_SHA512);
    assert_int_equal(accounts_find(file.accounts, text("last"))->line, 8);

    assert_null(accounts_find(file.accounts, text("")));
    assert_null(accounts_find(file.accounts, text("Ann")));
    assert_null(accounts_find(file.accounts, text("an")));
    assert_null(accounts_find(file.accounts, text("ann ")));
    assert_null(accounts_find(file.accounts, span_of("ann\0", 4)));
    assert_null(accounts_find(file.accounts, text("# comment")));
    close_file(&file);
}

struct fault {
    const char *text;
    size_t size; /* 0: of the string */
    const char *finding;
};

#define UNDECODABLE                                                                                          \
    "f:1: user \"u\" has a password hash that cannot be decoded: set the password anew with drawbridge "     \
    "passwd"
#define PLAIN "f:1: user \"u\" has a password that is not hashed: set it anew with drawbridge passwd"

static const struct fault faults[] = {
    {"", 0, "f: no user in it; nobody could log in"},
    {"\n\n", 0, "f: no user in it; nobody could log in"},
    {"# u:" GOOD "\n#\n", 0, "f: no user in it; nobody could log in"},
    {"u:" GOOD "\nv\n", 0, "f:2: this line is neither username:hash nor a comment"},
    {" # u" GOOD "\n", 0, "f:1: this line is neither username:hash nor a comment"},
    {":" GOOD "\n", 0, "f:1: no username before the colon"},
    {"  :" GOOD "\n", 0, "f:1: no username before the colon"},
    {"u:" GOOD "\nv:" GOOD "\n u :" GOOD "\n", 0, "f:3: user \"u\" stands in line 1 already"},
    {"u:\n", 0, "f:1: user \"u\" has no password"},
    {"u:  \r\n", 0, "f:1: user \"u\" has no password"},
    {"u:secret\n", 0, PLAIN},
    {"u:$5$" SALT12 "$" HASH "\n", 0, PLAIN},
    {"u:7$101$" SALT12 "$" HASH "\n", 0, PLAIN},
    {"u:$argon2id$v=19$m=47104,t=1,p=1$c2FsdA$aGFzaA\n", 0,
     "f:1: user \"u\" has an Argon2 hash, which is not supported: set the password anew with drawbridge "
     "passwd"},
    {"u:$7$\n", 0, UNDECODABLE},
    {"u:$7$101\n", 0, UNDECODABLE},
    {"u:$7$101$" SALT12 "\n", 0, UNDECODABLE},
    {"u:$7$101$" SALT12 "$\n", 0, UNDECODABLE},
    {"u:$7$$" SALT12 "$" HASH "\n", 0, UNDECODABLE},
    {"u:$7$0$" SALT12 "$" HASH "\n", 0, UNDECODABLE},
    {"u:$7$-1$" SALT12 "$" HASH "\n", 0, UNDECODABLE},
    {"u:$7$+1$" SALT12 "$" HASH "\n", 0, UNDECODABLE},
    {"u:$7$ 1$" SALT12 "$" HASH "\n", 0, UNDECODABLE},
    {"u:$7$0x10$" SALT12 "$" HASH "\n", 0, UNDECODABLE},
    {"u:$7$2147483648$" SALT12 "$" HASH "\n", 0, UNDECODABLE},
    {"u:$7$4294967297$" SALT12 "$" HASH "\n", 0, UNDECODABLE},
    {"u:$7$99999999999999999999$" SALT12 "$" HASH "\n", 0, UNDECODABLE},
    {"u:$7$101$$" HASH "\n", 0, UNDECODABLE},
    {"u:$7$101$9GN3BtP7TGaiMYb$" HASH "\n", 0, UNDECODABLE},      /* 15 characters */
    {"u:$7$101$9GN3BtP7TGaiMY==$" HASH "\n", 0, UNDECODABLE},     /* 10 bytes */
    {"u:$7$101$9GN3BtP7TGaiMYbpAAAA$" HASH "\n", 0, UNDECODABLE}, /* 15 bytes */
    {"u:$7$101$" SALT64 "AAAA$" HASH "\n", 0, UNDECODABLE},       /* padding within */
    {"u:$7$101$9GN3BtP7TGai!Ybp$" HASH "\n", 0, UNDECODABLE},     /* no such digit */
    {"u:$7$101$9GN3BtP7TGai-_bp$" HASH "\n", 0, UNDECODABLE},     /* the other alphabet */
    {"u:$7$101$" SALT12 "$" HASH "AAAA\n", 0, UNDECODABLE},
    {"u:$7$101$" SALT12 "$" HASH "$\n", 0, UNDECODABLE},
    {"u:$7$101$" SALT12 "$" HASH ":rest\n", 0, UNDECODABLE},
    {"u:$7$101$" SALT12 "$" SALT12 "\n", 0, UNDECODABLE}, /* 12 bytes */
    /* the hash without padding, with half of it, with stray bits behind the last byte */
    {"u:$7$101$" SALT12
     "$+HiTN+wWXATGsIbJCnSrjsciwe4d4n2OMZ/cX5ACnngikMPfWcd8ZLzJS+aNljWp/zFoZQLqFNLfq0/m68EcQA\n",
     0, UNDECODABLE},
    {"u:$7$101$" SALT12
     "$+HiTN+wWXATGsIbJCnSrjsciwe4d4n2OMZ/cX5ACnngikMPfWcd8ZLzJS+aNljWp/zFoZQLqFNLfq0/m68EcQA=\n",
     0, UNDECODABLE},
    {"u:$7$101$" SALT12
     "$+HiTN+wWXATGsIbJCnSrjsciwe4d4n2OMZ/cX5ACnngikMPfWcd8ZLzJS+aNljWp/zFoZQLqFNLfq0/m68EcQB==\n",
     0, UNDECODABLE},
    {"u:$6$" SALT12 "\n", 0, UNDECODABLE},
    {"u:$6$" SALT12 "$\n", 0, UNDECODABLE},
    {"u:$6$101$" SALT12 "$" HASH "\n", 0, UNDECODABLE},
    {"u\0v:" GOOD "\n", sizeof("u\0v:" GOOD "\n") - 1, "f:1: this line holds a NUL byte"},
    {"u:" GOOD "\0\n", sizeof("u:" GOOD "\0\n") - 1, "f:1: this line holds a NUL byte"},
    {"\0\n", 2, "f:1: this line holds a NUL byte"},
};

static void test_faults_are_errors(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        size_t size = faults[i].size == 0 ? strlen(faults[i].text) : faults[i].size;
        struct file file = open_file(span_of(faults[i].text, size));
        if (file.accounts != NULL || file.findings.error_count != 1)
            fail_msg("fault %zu: %zu errors", i, file.findings.error_count);
        assert_string_equal(file.findings.first->text, faults[i].finding);
        close_file(&file);
    }
}

/* One bad line refuses the file as a whole, and every bad line is told. Never is a password shown. */
static void test_all_faults_are_collected(void **state) {
    (void)state;
    struct file file = open_file(text("u:" GOOD "\nv:hunter2\nw:$7$0$hunter2$hunter2\nhunter2\n"));
    assert_null(file.accounts);
    assert_int_equal(file.findings.error_count, 3);
    for (const struct finding *finding = file.findings.first; finding != NULL; finding = finding->next)
        assert_null(strstr(finding->text, "hunter2"));
    close_file(&file);
}

static void test_warnings(void **state) {
    (void)state;
    struct file file = open_file(text("u:$7$1000000$" SALT12 "$" HASH "\n\xff:" GOOD "\n"));
    assert_non_null(file.accounts);
    assert_int_equal(file.findings.warning_count, 2);
    assert_string_equal(file.findings.first->text,
                        "f:1: user \"u\" has 1000000 iterations: every login takes seconds");
    close_file(&file);
    file = open_file(text("u:$7$2147483647$" SALT12 "$" HASH "\n"));
    assert_non_null(file.accounts);
    assert_int_equal(accounts_find(file.accounts, text("u"))->iterations, 2147483647);
    close_file(&file);
}

static void test_usual_account(void **state) {
    (void)state;
    struct file file = open_file(
        text("a:$6$" SALT12 "$" HASH "\nb:" GOOD "\nc:$7$9$" SALT12 "$" HASH "\nd:" GOOD "\ne:" GOOD "\n"));
    assert_non_null(file.accounts);
    assert_int_equal(accounts_usual(file.accounts)->kind, ACCOUNT_PBKDF2);
    assert_int_equal(accounts_usual(file.accounts)->iterations, 101);
    close_file(&file);
}

static void test_many_users(void **state) {
    (void)state;
    enum { USERS = 10000 };
    char *bytes = malloc(USERS * 160);
    size_t size = 0;
    for (int i = 0; i < USERS; i++)
        size += (size_t)sprintf(bytes + size, "user%d:" GOOD "\n", i);
    struct file file = open_file(span_of(bytes, size));
    free(bytes);
    assert_non_null(file.accounts);
    assert_int_equal(accounts_count(file.accounts), USERS);
    for (unsigned i = 0; i < USERS; i++) {
        char name[32];
        sprintf(name, "user%u", i);
        const struct account *account = accounts_find(file.accounts, text(name));
        assert_non_null(account);
        assert_int_equal(account->line, i + 1);
    }
    assert_null(accounts_find(file.accounts, text("user10000")));
    close_file(&file);
}

static void test_hash_comes_back(void **state) {
    (void)state;
    static const char *const hashes[] = {GOOD, "$7$2147483647$" SALT64 "$" HASH, "$6$" SALT12 "$" HASH,
                                         "$6$" SALT64 "$" HASH};
    for (size_t i = 0; i < 4; i++) {
        struct account account = {.line = 7};
        char room[300];
        assert_true(account_read_hash(text(hashes[i]), &account));
        assert_int_equal(account.line, 7);
        account_write_hash(&account, room, sizeof room);
        assert_string_equal(room, hashes[i]);
        /* Every shorter text is none, and changes nothing. */
        struct account before = account;
        for (size_t size = 0; size < strlen(hashes[i]); size++)
            assert_false(account_read_hash(span_of(hashes[i], size), &account));
        assert_memory_equal(&before, &account, sizeof before);
    }
}

static void test_usernames(void **state) {
    (void)state;
    static const char *const good[] = {"u",    "two words", "\xc3\xbcn\xc3\xaf", "a#b", "\xc2\xa0",
                                       "$SYS", "+/#"};
    static const char *const bad[] = {"",     ":",   "a:b",  "#a",   " a",      "a ",
                                      "a\tb", "a\n", "\x7f", "\xff", "\xc2\x85"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_null(account_username_fault(text(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_non_null(account_username_fault(text(bad[i])));
    assert_non_null(account_username_fault(span_of("a\0b", 3)));
    char *name = malloc(65536);
    memset(name, 'n', 65536);
    assert_null(account_username_fault(span_of(name, 65535)));
    assert_non_null(account_username_fault(span_of(name, 65536)));
    free(name);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_file),
        cmocka_unit_test(test_faults_are_errors),
        cmocka_unit_test(test_all_faults_are_collected),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_usual_account),
        cmocka_unit_test(test_many_users),
        cmocka_unit_test(test_hash_comes_back),
        cmocka_unit_test(test_usernames),
    };
    return cmocka_run_group_tests_name("accounts", tests, NULL, NULL);
}
